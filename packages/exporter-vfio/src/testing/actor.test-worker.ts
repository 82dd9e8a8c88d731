import { attachmentOf, DmaBuf, DmaDirection, SgTable, SignalRight } from '@dmabuf-emu/core';
import { isRevoked, registerVfio, VfioDevice } from '@dmabuf-emu/exporter-vfio';
import { PciSystem } from '@dmabuf-emu/pci-iommu';
import { atomicAdd, atomicLoad, isKernelError, type Machine } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';
import { registerTestImporters, Session } from './importer.test-worker.ts';
import { readyWord } from './ready.test-worker.ts';

/** What a worker is to do. */
export interface Act {
  readonly do:
    | 'memory-off'
    | 'flr'
    | 'reset'
    | 'close'
    | 'hold-resv'
    | 'map-and-hang'
    | 'toggle-memory'
    | 'export-loop'
    | 'hold-memory-lock'
    | 'gpu';
  readonly bdf: string;
  readonly dmabuf?: number;
  readonly device?: string;
  readonly rounds?: number;
  /** For `gpu`: the mapping that it gives up once its job's fence is signalled. */
  readonly attachment?: number;
  readonly table?: number;
  readonly fence?: number;
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
  registerVfio(machine);
  registerTestImporters(machine);
  const device = (): VfioDevice => VfioDevice.of(machine, job.bdf);
  const dmabuf = (): DmaBuf => DmaBuf.of(machine, job.dmabuf!);
  switch (job.do) {
    case 'memory-off':
      ready(machine);
      device().command.memory = false;
      return undefined;
    case 'flr':
      ready(machine);
      return device().flr();
    case 'reset':
      ready(machine);
      return device().reset();
    case 'close':
      ready(machine);
      return device().close();
    case 'hold-resv':
      dmabuf().resv.lock();
      return hang(machine);
    case 'hold-memory-lock':
      device().memoryLock.downWrite();
      return hang(machine);
    case 'map-and-hang':
      Session.attach(dmabuf().get(), PciSystem.of(machine).function(job.device!).device).map();
      return hang(machine);
    case 'gpu':
      return finishJob(machine, job);
    case 'toggle-memory':
      return toggleMemory(machine, device(), job.rounds!);
    case 'export-loop':
      return exportLoop(machine, device(), job);
  }
}

/** A job that ends some time after the revoke began; the mapping goes after its fence. */
function finishJob(machine: Machine, { attachment, table, fence }: Act): void {
  const right = SignalRight.adopt(machine, fence!);
  const used = attachmentOf(machine, attachment!);
  ready(machine);
  const pause = machine.root('test.pause', 16);
  while (!used.dmabuf.resv.isLocked) machine.wait(pause, 0, 'test.pause', 1);
  machine.wait(pause, 0, 'test.job', 20);
  right.signal();
  machine.wait(pause, 0, 'test.job', 20);
  used.dmabuf.resv.with(() => used.unmap(SgTable.of(machine, table!), DmaDirection.BIDIRECTIONAL));
}

/** Takes the memory away in every way, and gives it back. */
function toggleMemory(machine: Machine, device: VfioDevice, rounds: number): number {
  ready(machine);
  for (let i = 0; i < rounds; i++) {
    if (i % 4 === 1) device.flr();
    else if (i % 4 === 3) device.reset();
    else device.command.memory = false;
    device.command.memory = true;
    machine.progress();
  }
  return rounds;
}

/** Exports, maps and uses buffers; returns how many maps worked and how many were refused. */
function exportLoop(
  machine: Machine,
  device: VfioDevice,
  { rounds, device: nic }: Act,
): { mapped: number; refused: number } {
  const importer = PciSystem.of(machine).function(nic!);
  ready(machine);
  let mapped = 0;
  let refused = 0;
  for (let i = 0; i < rounds!; i++) {
    const dmabuf = device.exportDmaBuf({ region: 2, ranges: [{ offset: (i % 64) * 0x1000, length: 0x1000 }] });
    try {
      const session = Session.attach(dmabuf, importer.device);
      try {
        dmabuf.resv.with(() => {
          session.mapLocked();
          if (isRevoked(dmabuf)) throw new Error('a map succeeded while the buffer was revoked');
        });
        mapped++;
      } finally {
        session.end();
      }
    } catch (error) {
      if (!isKernelError(error, 'ENODEV')) throw error;
      refused++;
    }
    dmabuf.put();
    machine.progress();
  }
  return { mapped, refused };
}

await runTestWorker(act);
