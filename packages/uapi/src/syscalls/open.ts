import { OpenFlags } from '@dmabuf-emu/core';
import { KernelError } from '@dmabuf-emu/shm';
import { FileKind } from '../files/file-behaviour.ts';
import type { FsNode } from '../files/fs-node.ts';
import { nodeAt, openNode } from '../files/name-space.ts';
import { installUapi } from '../install.ts';
import type { Process } from '../process/process.ts';

/** Flags that an open file keeps. @kernel O_CREAT, O_EXCL, O_NOCTTY, O_TRUNC */
const FORGOTTEN = 0o1700 | OpenFlags.CLOEXEC;
const O_DIRECTORY = 0o200000;

/** Opens what is at `path`; returns the descriptor. @kernel open(2) @throws KernelError EMFILE, ENOENT, EACCES, EISDIR, ENOTDIR, ENFILE, ENOMEM */
export function open(process: Process, path: string, flags: number): number {
  const { machine, fds } = process;
  installUapi(machine);
  const fd = fds.reserve({ cloexec: (flags & OpenFlags.CLOEXEC) !== 0 });
  try {
    const node = nodeAt(machine, path);
    if (node === undefined) throw new KernelError('ENOENT', 'open', `there is no ${path}`);
    checkAccess(process, node, flags);
    const kept = (flags & ~FORGOTTEN) | OpenFlags.LARGEFILE;
    fds.fill(fd, node.open?.(process, kept) ?? openNode(machine, node, kept));
    return fd;
  } catch (error) {
    if (error instanceof KernelError) fds.unreserve(fd);
    throw error;
  }
}

/** @kernel may_open, inode_permission */
function checkAccess({ uid }: Process, { path, mode }: FsNode, flags: number): void {
  const access = flags & OpenFlags.ACCMODE;
  const isFolder = (mode & 0o170000) === FileKind.DIRECTORY;
  if (isFolder && access !== OpenFlags.RDONLY) throw new KernelError('EISDIR', 'open', `${path} is a folder`);
  if (!isFolder && (flags & O_DIRECTORY) !== 0) throw new KernelError('ENOTDIR', 'open', `${path} is no folder`);
  const wanted = (access === OpenFlags.WRONLY ? 0 : 4) | (access === OpenFlags.RDONLY ? 0 : 2);
  if (uid !== 0 && (mode & wanted) !== wanted) {
    throw new KernelError(
      'EACCES',
      'open',
      `user ${uid} may not open ${path}, of mode 0${(mode & 0o7777).toString(8)}`,
    );
  }
}
