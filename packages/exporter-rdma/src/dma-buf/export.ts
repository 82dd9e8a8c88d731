import { DmaBuf, FdTable, OpenFlags, RevocableExport } from '@dmabuf-emu/core';
import { PAGE_SIZE, PciSystem } from '@dmabuf-emu/pci-iommu';
import { KernelError, orUndo } from '@dmabuf-emu/shm';
import type { OpenDevice } from '../device/open-device.ts';
import type { RdmaCore } from '../device/rdma-core.ts';
import { EntryStruct as E } from '../mmap/entry-struct.ts';
import { lookUpEntry, putEntry } from '../mmap/entry-table.ts';
import { keyOfPageOffset } from '../mmap/page-offset.ts';
import { RdmaDmaBufStruct as D } from './dma-buf-struct.ts';
import { buffersOf, dmabufsLock, ExportedBuffer } from './exported-buffer.ts';
import { EXP_NAME, rdmaDriver } from './exporter-ops.ts';

/**
 * Makes a buffer over the entry that a byte offset names; the caller owns its one reference.
 * @kernel UVERBS_METHOD_DMABUF_ALLOC
 * @locks takes entriesLock, then the entry's dmabufs_lock
 * @throws KernelError EINVAL (no such entry, or not in a memory BAR), EOPNOTSUPP (the BAR cannot be a peer's target), EIO (the
 *   driver is taking the entry away), ENOMEM, ENFILE
 */
export function exportDmaBuf(device: OpenDevice, pageOffset: bigint): DmaBuf {
  const { core } = device;
  device.check('uverbs_dmabuf_alloc');
  const entry = lookUpEntry(core, keyOfPageOffset(pageOffset));
  if (entry === 0) {
    throw new KernelError('EINVAL', 'pgoff_to_mmap_entry', `no entry has the offset 0x${pageOffset.toString(16)}`);
  }
  return orUndo(
    () => exportEntry(core, entry),
    () => putEntry(core, entry),
  );
}

/** {@link exportDmaBuf} with a descriptor that owns the reference; the descriptor comes first. @throws also KernelError EMFILE */
export function exportDmaBufFd(device: OpenDevice, pageOffset: bigint): number {
  const table = FdTable.current(device.core.machine);
  const fd = table.reserve({ cloexec: true });
  const dmabuf = orUndo(
    () => exportDmaBuf(device, pageOffset),
    () => table.unreserve(fd),
  );
  table.fill(fd, dmabuf.file);
  return fd;
}

/** The buffer takes over the caller's reference to the entry once this returns. */
function exportEntry(core: RdmaCore, entry: number): DmaBuf {
  const { machine } = core;
  const { mem } = machine;
  const entryAt = machine.slab(E).at(entry);
  const { paddr, length, bar } = physicalRange(core, entryAt);
  const slab = machine.slab(D);
  const buffer = new ExportedBuffer(machine, slab.alloc('uverbs_dmabuf_alloc'));
  D.ownerTask.set(mem, buffer.p, machine.tid);
  D.device.set(mem, buffer.p, core.fn.index);
  D.paddr.set(mem, buffer.p, paddr);
  D.length.set(mem, buffer.p, length);
  D.bar.set(mem, buffer.p, bar);
  RevocableExport.init(machine, buffer.p, D);
  const info = { ops: rdmaDriver, priv: buffer.ref, size: length, flags: OpenFlags.CLOEXEC, expName: EXP_NAME };
  const dmabuf = orUndo(
    () => DmaBuf.export(machine, info),
    () => slab.free(buffer.ref, 'uverbs_dmabuf_alloc'),
  );
  D.dmabuf.set(mem, buffer.p, dmabuf.ref);
  orUndo(
    () =>
      dmabufsLock(machine, entryAt).with(() => {
        if (E.driverRemoved.load(mem, entryAt) !== 0) {
          throw new KernelError('EIO', 'uverbs_dmabuf_alloc', `the driver of ${core.fn.bdf} takes this entry away`);
        }
        D.entry.set(mem, buffer.p, entry);
        D.listed.set(mem, buffer.p, 1);
        buffersOf(machine, entryAt).append(buffer.ref);
      }),
    () => dmabuf.put(),
  );
  return dmabuf;
}

/** What of which BAR an entry is over. @kernel mmap_get_pfns @throws KernelError EINVAL, EOPNOTSUPP */
function physicalRange(core: RdmaCore, entryAt: number): { paddr: number; length: number; bar: number } {
  const { machine, fn } = core;
  const paddr = E.paddr.get(machine.mem, entryAt);
  const length = E.pages.get(machine.mem, entryAt) * PAGE_SIZE;
  const bar = fn.bars.find(({ isMemory, start, size }) => isMemory && paddr >= start && paddr + length <= start + size);
  if (bar === undefined) {
    throw new KernelError(
      'EINVAL',
      'phys_addr_to_bar',
      `no memory BAR of ${fn.bdf} holds 0x${paddr.toString(16)}+${length}`,
    );
  }
  if (PciSystem.of(machine).p2p.provider(fn.topology, bar.index) === null) {
    throw new KernelError(
      'EOPNOTSUPP',
      'pcim_p2pdma_provider',
      `BAR ${bar.index} of ${fn.bdf} cannot be a peer's target`,
    );
  }
  return { paddr, length, bar: bar.index };
}
