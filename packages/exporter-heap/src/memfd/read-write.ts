import { type File, OpenFlags } from '@dmabuf-emu/core';
import { pageDown } from '@dmabuf-emu/pci-iommu';
import { KernelError } from '@dmabuf-emu/shm';
import type { Shmem } from '../memory/shmem.ts';
import { Seal } from './flags.ts';
import { checkSeals, sealsOf } from './seals.ts';

/** Bytes at `offset`, fewer towards the end of the file. @kernel shmem_file_read_iter @throws KernelError EINVAL */
export function readAt(shmem: Shmem, offset: number, length: number): Uint8Array {
  if (!(offset >= 0)) throw new KernelError('EINVAL', 'pread', `offset ${offset}`);
  return shmem.read(offset, Math.max(0, Math.min(length, shmem.size - offset)));
}

/**
 * Stores bytes at `offset`, growing the file where need be, and returns how many: fewer when memory ends or the file may not
 * grow.
 * @kernel shmem_file_write_iter
 * @locks takes inode_lock for writing
 * @throws KernelError EINVAL (huge pages, offset), EPERM (sealed), EFBIG, ENOMEM
 */
export function writeAt(file: File, shmem: Shmem, offset: number, bytes: Uint8Array): number {
  if (shmem.huge) throw new KernelError('EINVAL', 'pwrite', 'a file of huge pages has no write');
  if (!(offset >= 0)) throw new KernelError('EINVAL', 'pwrite', `offset ${offset}`);
  if (bytes.length === 0) return 0;
  return shmem.inodeLock.write(() => {
    const { size } = shmem;
    const at = (file.flags & OpenFlags.APPEND) !== 0 ? size : offset;
    if (at + bytes.length > Number.MAX_SAFE_INTEGER) throw new KernelError('EFBIG', 'pwrite', `offset ${offset}`);
    checkSeals(shmem, Seal.WRITE | Seal.FUTURE_WRITE, 'shmem_write_begin');
    const part = bytes.subarray(0, withinSeals(shmem, at, bytes.length));
    return writeGrowing(shmem, at, part, size);
  });
}

function writeGrowing(shmem: Shmem, at: number, bytes: Uint8Array, size: number): number {
  let written = 0;
  shmem.resize(Math.max(size, at + bytes.length));
  try {
    written = shmem.write(at, bytes);
  } finally {
    shmem.resize(Math.max(size, written > 0 ? at + written : 0));
  }
  return written;
}

/** How many bytes may be written where growing is sealed: the pages before the one that would make the file grow. */
function withinSeals(shmem: Shmem, at: number, length: number): number {
  const { size } = shmem;
  if (at + length <= size || (sealsOf(shmem) & Seal.GROW) === 0) return length;
  const whole = Math.max(0, pageDown(size) - at);
  if (whole === 0) checkSeals(shmem, Seal.GROW, 'shmem_write_begin');
  return whole;
}
