import {
  Epoll,
  type EpollEvent,
  type EpollReport,
  EventFd,
  type File,
  OpenFlags,
  poll as pollFiles,
} from '@dmabuf-emu/core';
import { KernelError } from '@dmabuf-emu/shm';
import type { Process } from '../process/process.ts';
import { withFile } from './with-file.ts';

/** @kernel EFD_SEMAPHORE */
export const EFD_SEMAPHORE = 1;

/** @kernel struct pollfd */
export interface PollFd {
  readonly fd: number;
  /** What to wait for, see `PollEvents`. */
  readonly events: number;
}

/**
 * Waits until one of the descriptors is ready, at most `timeoutMs` (below 0: for ever); tells what each is ready for.
 * @kernel poll(2) @throws KernelError EINVAL for more descriptors than the program may have, EINTR, ENOMEM
 */
export function poll(process: Process, fds: readonly PollFd[], timeoutMs: number): number[] {
  if (fds.length > process.fds.limit) throw new KernelError('EINVAL', 'poll', `${fds.length} descriptors are too many`);
  return pollFiles(process.machine, fds, { timeoutMs, interruptible: true });
}

/** A descriptor for a new epoll file. @kernel epoll_create1(2) @throws KernelError EINVAL, EMFILE, ENFILE, ENOMEM */
export function epollCreate(process: Process, flags: number): number {
  checkFlags('epoll_create1', flags, OpenFlags.CLOEXEC);
  return installFile(process, Epoll.create(process.machine).file, flags);
}

/** @kernel epoll_ctl(2) @throws KernelError EBADF, EEXIST, EINVAL, ELOOP, ENOENT, ENOMEM, EPERM */
export function epollControl(
  process: Process,
  epfd: number,
  operation: 'add' | 'modify' | 'remove',
  fd: number,
  event: EpollEvent = { events: 0, data: 0n },
): void {
  withFile(process, epfd, ({ file }) => {
    // The other file is looked at before this one.
    withFile(process, fd, (target) => {
      if (target.file.ops.poll !== undefined) return;
      throw new KernelError('EPERM', 'epoll_ctl', `a ${target.file.type} file cannot be polled`);
    });
    const epoll = Epoll.of(file);
    if (operation === 'remove') epoll.remove(fd);
    else epoll[operation](fd, event);
  });
}

/** @kernel epoll_wait(2) @throws KernelError EBADF, EINVAL, EINTR */
export function epollWait(process: Process, epfd: number, maxEvents: number, timeoutMs: number): EpollReport[] {
  return withFile(process, epfd, ({ file }) => Epoll.of(file).wait({ maxEvents, timeoutMs, interruptible: true }));
}

/** A descriptor for a new counter. @kernel eventfd2(2) @throws KernelError EINVAL, EMFILE, ENFILE, ENOMEM */
export function eventfd(process: Process, initial: number, flags: number): number {
  checkFlags('eventfd2', flags, OpenFlags.CLOEXEC | OpenFlags.NONBLOCK | EFD_SEMAPHORE);
  const semaphore = (flags & EFD_SEMAPHORE) !== 0;
  return installFile(process, EventFd.create(process.machine, { initial, semaphore, flags }).file, flags);
}

function installFile(process: Process, file: File, flags: number): number {
  try {
    return process.fds.install(file, { cloexec: (flags & OpenFlags.CLOEXEC) !== 0 });
  } catch (error) {
    file.put();
    throw error;
  }
}

function checkFlags(where: string, flags: number, known: number): void {
  if ((flags & ~known) !== 0) throw new KernelError('EINVAL', where, `flags ${flags} has bits beyond ${known}`);
}
