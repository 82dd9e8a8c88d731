import { PAGE_BYTES } from '@dmabuf-emu/core';
import { isKernelError, KernelError } from '@dmabuf-emu/shm';
import { behaviourOf } from '../files/behaviours.ts';
import { type FileStat, FsMagic } from '../files/file-behaviour.ts';
import type { Process } from '../process/process.ts';
import { withFile } from './with-file.ts';

/** Files without an inode of their own share one, of mode 0600. */
const ANONYMOUS: FileStat = { ino: 1, mode: 0o600, size: 0, blocks: 0, blksize: PAGE_BYTES, nlink: 1 };

/** @kernel fstat(2) @throws KernelError EBADF */
export function fstat(process: Process, fd: number): FileStat {
  return withFile(process, fd, ({ file }) => ({ ...ANONYMOUS, ...behaviourOf(file).stat?.(file) }));
}

/** Number of the file's file system. @kernel fstatfs(2) @throws KernelError EBADF */
export function fstatfs(process: Process, fd: number): { readonly type: number } {
  return withFile(process, fd, ({ file }) => ({ type: behaviourOf(file).magic ?? FsMagic.ANON_INODE }));
}

/** What the link /proc/self/fd/FD says. @kernel readlink(2) @throws KernelError ENOENT */
export function readFdLink(process: Process, fd: number): string {
  return orNoEntry(() => process.fds.link(fd));
}

/** The lines of /proc/self/fdinfo/FD, without `mnt_id` and `ino`. @throws KernelError ENOENT */
export function readFdInfo(process: Process, fd: number): string[] {
  return orNoEntry(() => process.fds.fdinfo(fd));
}

/** In /proc a descriptor that is not open has no entry. */
function orNoEntry<T>(fn: () => T): T {
  try {
    return fn();
  } catch (error) {
    if (!isKernelError(error, 'EBADF')) throw error;
    throw new KernelError('ENOENT', 'proc_fd', error.message);
  }
}
