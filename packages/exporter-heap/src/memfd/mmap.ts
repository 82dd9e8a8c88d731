import { BusError, type File, type MmapRequest, PAGE_BYTES, VmArea, type VmOps } from '@dmabuf-emu/core';
import { isKernelError, KernelError, orUndo } from '@dmabuf-emu/shm';
import { HUGE_PAGES } from '../memory/huge-pages.ts';
import { Shmem } from '../memory/shmem.ts';
import { ShmemStruct as S } from '../memory/shmem-struct.ts';
import { Seal } from './flags.ts';
import { sealsOf } from './seals.ts';

/** `priv` of an area is the file in memory. @kernel shmem_vm_ops, hugetlb_vm_ops */
const readOnlyOps: VmOps = { fault: faultMemfd };

/** Of shared mappings that write, or may be made to: the file cannot be sealed against writing meanwhile. @kernel VM_MAYWRITE */
const writableOps: VmOps = {
  fault: faultMemfd,
  close({ machine, priv }) {
    S.writableMaps.sub(machine.mem, Shmem.of(machine, priv).p, 1);
  },
};

/**
 * Maps a memfd. A shared mapping of a file that is sealed against writing must not be writable, and never becomes so.
 * @kernel shmem_mmap, hugetlbfs_file_mmap
 * @locks takes inode_lock for reading
 * @throws KernelError EINVAL (offset), EPERM (sealed), ENOMEM (too few huge pages)
 */
export function mmapMemfd(file: File, shmem: Shmem, request: MmapRequest): VmArea {
  const { offset, length, shared = true, writable = true } = request;
  const unit = shmem.huge ? HUGE_PAGES * PAGE_BYTES : PAGE_BYTES;
  if (offset < 0 || offset % unit !== 0) {
    throw new KernelError('EINVAL', 'mmap', `offset must be a multiple of ${unit}, got ${offset}`);
  }
  const bytes = Math.ceil(length / unit) * unit;
  return VmArea.map(file, { pageOffset: offset / PAGE_BYTES, length: bytes, shared, writable }, (area) => {
    area.priv = shmem.ref;
    if (shmem.huge) reserve(shmem, area);
    shmem.inodeLock.read(() => {
      const sealed = (sealsOf(shmem) & (Seal.WRITE | Seal.FUTURE_WRITE)) !== 0;
      if (shared && writable && sealed) throw new KernelError('EPERM', 'mmap', 'the file is sealed against writing');
      if (shared && sealed) area.mayWrite = false;
      area.ops = shared && area.mayWrite ? writableOps : readOnlyOps;
      if (area.ops === writableOps) S.writableMaps.add(shmem.machine.mem, shmem.p, 1);
    });
  });
}

/** A writable mapping makes a file of huge pages long enough; its huge pages are made sure of. @kernel hugetlb_reserve_pages */
function reserve(shmem: Shmem, area: VmArea): void {
  shmem.inodeLock.write(() => {
    const { size } = shmem;
    const end = area.pageOffset + area.pages;
    if (area.writable) shmem.resize(Math.max(size, end * PAGE_BYTES));
    orUndo(
      () => {
        const last = Math.min(end, shmem.size / PAGE_BYTES);
        for (let index = area.pageOffset; index < last; index += HUGE_PAGES) shmem.page(index);
      },
      () => shmem.resize(size),
    );
  });
}

/** @kernel shmem_fault @throws BusError behind the end of the file; KernelError ENOMEM */
function faultMemfd(area: VmArea, page: number): number {
  try {
    return Shmem.of(area.machine, area.priv).fault(area.pageOffset + page);
  } catch (error) {
    if (!isKernelError(error, 'EINVAL')) throw error;
    throw new BusError('shmem_fault', error.message);
  }
}
