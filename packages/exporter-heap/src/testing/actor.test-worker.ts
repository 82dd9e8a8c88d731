import { type Attachment, DmaBuf, DmaDirection, FdTable, Device, OpenFlags, type SgTable } from '@dmabuf-emu/core';
import {
  createUdmabuf,
  DmaHeap,
  Falloc,
  Memfd,
  prepareUdmabuf,
  readKernel,
  registerHeaps,
  Seal,
  Shmem,
} from '@dmabuf-emu/exporter-heap';
import { PciSystem } from '@dmabuf-emu/pci-iommu';
import { atomicAdd, atomicLoad, isKernelError, type Machine, Random, setSyncHook } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';
import { readyWord } from './ready.test-worker.ts';

const PAGE = 4096;
/** Pages of a file that several threads share. */
const PAGES = 6;
const { BIDIRECTIONAL } = DmaDirection;

/** What a worker is to do. */
export interface Act {
  readonly do: 'use' | 'map-and-hang' | 'own-and-hang' | 'hold-pages' | 'churn' | 'share' | 'die-at';
  /** Function that buffers are mapped for. */
  readonly bdf: string;
  readonly dmabuf?: number;
  readonly shmem?: number;
  readonly rounds?: number;
  readonly heap?: string;
  /** Which sync point to die at. */
  readonly nth?: number;
}

function ready(machine: Machine): void {
  atomicAdd(machine.mem, readyWord(machine), 1);
}

/** Stays in the kernel until the thread is terminated. */
function hang(machine: Machine): never {
  setSyncHook(null);
  ready(machine);
  const at = machine.root('test.never', 16);
  for (;;) machine.wait(at, atomicLoad(machine.mem, at), 'test.hang');
}

function act(machine: Machine, job: Act): unknown {
  registerHeaps(machine);
  prepareUdmabuf(machine);
  const { device } = PciSystem.of(machine).function(job.bdf);
  const dmabuf = (): DmaBuf => DmaBuf.of(machine, job.dmabuf!);
  switch (job.do) {
    case 'use':
      ready(machine);
      return use(dmabuf(), device);
    case 'map-and-hang':
      mapped(dmabuf(), device);
      return hang(machine);
    case 'own-and-hang':
      own(machine, 'system');
      return hang(machine);
    case 'hold-pages':
      Shmem.of(machine, job.shmem!).pagesLock.lock();
      return hang(machine);
    case 'churn':
      ready(machine);
      return churn(machine, device, job);
    case 'share':
      ready(machine);
      return share(machine, job);
    case 'die-at':
      return dieAt(machine, device, job);
  }
}

function mapped(dmabuf: DmaBuf, device: Device): [Attachment, SgTable] {
  const attachment = dmabuf.get().attach(device);
  return [attachment, attachment.mapUnlocked(BIDIRECTIONAL)];
}

/** Writes through a mapping, reads as the device and as the kernel; the last byte seen by each. */
function use(dmabuf: DmaBuf, device: Device): number[] {
  const { machine } = dmabuf;
  const area = dmabuf.mmap({ offset: 0, length: dmabuf.size });
  area.write(dmabuf.size - 1, Uint8Array.of(0x5a));
  area.unmap();
  const [attachment, table] = mapped(dmabuf, device);
  const last = table.entries().at(-1)!;
  const { dma } = PciSystem.of(machine).functionOfDevice(device)!;
  const byDevice = dma.read(last.address + last.length - 1, 1)[0]!;
  attachment.unmapUnlocked(table, BIDIRECTIONAL);
  dmabuf.detach(attachment);
  const mapping = dmabuf.vmapUnlocked();
  const byKernel = readKernel(machine, mapping.address + dmabuf.size - 1, 1)[0]!;
  dmabuf.vunmapUnlocked(mapping);
  dmabuf.put();
  return [byDevice, byKernel];
}

/** A memfd, a udmabuf over it and a buffer of a heap, all behind descriptors of this task's process. */
function own(machine: Machine, heap: string): number[] {
  const memfd = Memfd.create(machine, 'own');
  const fd = memfd.fd();
  memfd.truncate(4 * PAGE);
  memfd.addSeals(Seal.SHRINK);
  memfd.pwrite(PAGE, Uint8Array.of(1));
  const udmabuf = createUdmabuf(machine, { memfd: fd, offset: PAGE, size: 2 * PAGE });
  return [fd, udmabuf, DmaHeap.find(machine, heap)!.alloc({ len: 20 * PAGE })];
}

function churn(machine: Machine, device: Device, { rounds, heap }: Act): Record<string, number> {
  const ends: Record<string, number> = { done: 0 };
  for (let round = 0; round < rounds!; round++) {
    try {
      live(machine, device, heap!);
      ends['done']!++;
    } catch (error) {
      if (!isKernelError(error)) throw error;
      ends[error.code] = (ends[error.code] ?? 0) + 1;
    }
    FdTable.exit(machine);
  }
  return ends;
}

/** Makes buffers, uses them with CPU and device, and leaves the descriptors. */
function live(machine: Machine, device: Device, heap: string): void {
  const [, ...buffers] = own(machine, heap);
  for (const fd of buffers) {
    const dmabuf = DmaBuf.get(machine, fd);
    dmabuf.beginCpuAccess(BIDIRECTIONAL);
    const [attachment, table] = mapped(dmabuf, device);
    dmabuf.endCpuAccess(BIDIRECTIONAL);
    attachment.unmapUnlocked(table, BIDIRECTIONAL);
    dmabuf.detach(attachment);
    dmabuf.put();
    dmabuf.put();
  }
}

/** Writes, makes holes in and pins the pages of a file that others use at the same time; how often. */
function share(machine: Machine, { shmem: ref, rounds }: Act): number {
  const shmem = Shmem.of(machine, ref!).get();
  const memfd = Memfd.open(shmem, OpenFlags.RDWR);
  const fd = memfd.fd();
  const random = new Random(machine.tid);
  for (let round = 0; round < rounds!; round++) {
    const page = random.below(PAGES);
    memfd.pwrite(page * PAGE, new Uint8Array(PAGE).fill(machine.tid));
    if (round % 3 === 0) memfd.fallocate(Falloc.KEEP_SIZE | Falloc.PUNCH_HOLE, random.below(PAGES) * PAGE, PAGE);
    const dmabuf = DmaBuf.get(machine, createUdmabuf(machine, { memfd: fd, offset: 0, size: PAGES * PAGE }));
    const area = dmabuf.mmap({ offset: page * PAGE, length: PAGE });
    area.write(0, Uint8Array.of(machine.tid));
    area.unmap();
    dmabuf.put();
    FdTable.current(machine).close(fd + 1);
  }
  FdTable.exit(machine);
  return rounds!;
}

function dieAt(machine: Machine, device: Device, { nth }: Act): number {
  let passed = 0;
  setSyncHook(() => {
    if (++passed === nth) hang(machine);
  });
  live(machine, device, 'default_cma_region');
  FdTable.exit(machine);
  setSyncHook(null);
  ready(machine);
  return passed;
}

await runTestWorker(act);
