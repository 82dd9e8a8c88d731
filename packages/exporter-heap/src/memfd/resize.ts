import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { KernelError, orUndo } from '@dmabuf-emu/shm';
import { HUGE_PAGES } from '../memory/huge-pages.ts';
import type { Shmem } from '../memory/shmem.ts';
import { Falloc, Seal } from './flags.ts';
import { checkSeals } from './seals.ts';

/**
 * Changes the size of a memfd.
 * @kernel do_ftruncate, shmem_setattr, hugetlbfs_setattr
 * @locks takes inode_lock for writing
 * @throws KernelError EINVAL (negative; parts of huge pages), EPERM (sealed)
 */
export function truncate(shmem: Shmem, size: number): void {
  if (size < 0) throw new KernelError('EINVAL', 'ftruncate', `a size of ${size}`);
  shmem.inodeLock.write(() => {
    const unit = shmem.huge ? HUGE_PAGES * PAGE_SIZE : 1;
    if (size % unit !== 0) throw new KernelError('EINVAL', 'ftruncate', `${size} bytes of huge pages of ${unit} bytes`);
    if (size < shmem.size) checkSeals(shmem, Seal.SHRINK, 'ftruncate');
    if (size > shmem.size) checkSeals(shmem, Seal.GROW, 'ftruncate');
    shmem.resize(size);
  });
}

/**
 * Allocates the pages of a range, growing the file unless told to keep its size, or makes a hole of the range.
 * @kernel vfs_fallocate, shmem_fallocate, hugetlbfs_fallocate
 * @locks takes inode_lock for writing
 * @throws KernelError EINVAL (range), EOPNOTSUPP (mode), EFBIG, EPERM (sealed), ENOMEM
 */
export function fallocate(shmem: Shmem, mode: number, offset: number, length: number): void {
  const refuse = (code: 'EINVAL' | 'EOPNOTSUPP' | 'EFBIG'): KernelError =>
    new KernelError(code, 'fallocate', `mode ${mode}, ${length} bytes at ${offset}`);
  if (offset < 0 || length <= 0) throw refuse('EINVAL');
  const hole = (mode & Falloc.PUNCH_HOLE) !== 0;
  const keep = (mode & Falloc.KEEP_SIZE) !== 0;
  if ((mode & ~(Falloc.PUNCH_HOLE | Falloc.KEEP_SIZE)) !== 0 || (hole && !keep)) throw refuse('EOPNOTSUPP');
  if (offset + length > Number.MAX_SAFE_INTEGER) throw refuse('EFBIG');
  shmem.inodeLock.write(() => {
    if (hole) {
      checkSeals(shmem, Seal.WRITE | Seal.FUTURE_WRITE, 'fallocate');
      shmem.punch(offset, Math.max(0, Math.min(length, shmem.size - offset)));
    } else allocate(shmem, offset, offset + length, keep);
  });
}

/** Pages behind an end that stays are not allocated: nobody could tell, and the next truncate gives them up. */
function allocate(shmem: Shmem, offset: number, end: number, keep: boolean): void {
  const { size } = shmem;
  if (end > size) checkSeals(shmem, Seal.GROW, 'fallocate');
  const grown = keep ? size : Math.max(size, end);
  const unit = shmem.huge ? HUGE_PAGES : 1;
  const made: number[] = [];
  shmem.resize(grown);
  orUndo(
    () => {
      const last = Math.ceil(Math.min(end, grown) / PAGE_SIZE);
      for (let index = Math.floor(offset / PAGE_SIZE / unit) * unit; index < last; index += unit) {
        if (shmem.peek(index) !== 0) continue;
        shmem.page(index);
        made.push(index);
      }
    },
    () => {
      for (const index of made) shmem.punch(index * PAGE_SIZE, unit * PAGE_SIZE);
      shmem.resize(size);
    },
  );
}
