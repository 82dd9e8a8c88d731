import { DmaBuf } from '@dmabuf-emu/core';
import { isRevoked, RdmaDevice, registerRdma } from '@dmabuf-emu/exporter-rdma';
import { PciSystem } from '@dmabuf-emu/pci-iommu';
import { atomicAdd, atomicLoad, isKernelError, type Machine } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';
import { registerTestImporters, Session } from './importer.test-worker.ts';
import { readyWord } from './ready.test-worker.ts';

/** What a worker is to do. */
export interface Act {
  readonly do: 'destroy' | 'remove-entry' | 'remove-driver' | 'close' | 'hold-resv' | 'map-and-hang' | 'export-loop';
  readonly bdf: string;
  readonly dmabuf?: number;
  readonly pgoff?: number;
  readonly device?: string;
  readonly rounds?: number;
}

function ready(machine: Machine): void {
  atomicAdd(machine.mem, readyWord(machine), 1);
}

/** Stays in the kernel until the thread is terminated. */
function hang(machine: Machine): never {
  ready(machine);
  const at = machine.root('test.never', 16);
  for (;;) machine.wait(at, atomicLoad(machine.mem, at), 'test.hang');
}

function act(machine: Machine, job: Act): unknown {
  registerRdma(machine);
  registerTestImporters(machine);
  const nic = (): RdmaDevice => RdmaDevice.of(machine, job.bdf);
  const dmabuf = (): DmaBuf => DmaBuf.of(machine, job.dmabuf!);
  switch (job.do) {
    case 'destroy':
      ready(machine);
      return nic().destroyObject(dmabuf());
    case 'remove-entry':
      ready(machine);
      return nic().removeEntry(nic().mmapEntry(job.pgoff!));
    case 'remove-driver':
      ready(machine);
      return nic().removeDriver();
    case 'close':
      ready(machine);
      return nic().close();
    case 'hold-resv':
      dmabuf().resv.lock();
      return hang(machine);
    case 'map-and-hang':
      Session.attach(dmabuf().get(), PciSystem.of(machine).function(job.device!).device).map();
      return hang(machine);
    case 'export-loop':
      return exportLoop(machine, nic(), job);
  }
}

/** Allocates, exports, maps, frees; returns how often each way ended. */
function exportLoop(machine: Machine, nic: RdmaDevice, { rounds, device, pgoff }: Act): Record<string, number> {
  const gpu = PciSystem.of(machine).function(device!).device;
  const ends: Record<string, number> = { mapped: 0 };
  ready(machine);
  for (let i = 0; i < rounds!; i++) {
    try {
      const own = nic.allocDm(0x1000);
      const dmabuf = nic.exportDmaBuf(i % 2 === 0 ? own.pgoff : pgoff!);
      const session = Session.attach(dmabuf, gpu);
      try {
        dmabuf.resv.with(() => {
          session.mapLocked();
          if (isRevoked(dmabuf)) throw new Error('a map succeeded while the buffer was revoked');
        });
        ends['mapped']!++;
      } finally {
        if (i % 3 === 0) nic.removeEntry(own);
        session.end();
        dmabuf.put();
        nic.removeEntry(own);
      }
    } catch (error) {
      if (!isKernelError(error, 'ENODEV', 'EINVAL', 'EIO')) throw error;
      ends[error.code] = (ends[error.code] ?? 0) + 1;
      if (!nic.isOpen) return ends;
    }
  }
  return ends;
}

await runTestWorker(act);
