import { FdTable, type File, poll, PollEvents, SwSyncTimeline, SyncFile } from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';

/*
 * What the programs of upstream's suites call, over descriptors of the calling task's process.
 */

export const ACTIVE = 0;
export const SIGNALED = 1;
export const ERROR = -1;

function withFile<R>(machine: Machine, fd: number, fn: (file: File) => R): R {
  const file = FdTable.current(machine).get(fd);
  try {
    return fn(file);
  } finally {
    file.put();
  }
}

export function swOpen(machine: Machine): number {
  return SwSyncTimeline.create(machine).fd();
}

export function swFence(machine: Machine, timeline: number, value: number): number {
  return withFile(machine, timeline, (file) => SwSyncTimeline.of(file).createFenceFd(value));
}

export function swInc(machine: Machine, timeline: number, by = 1): void {
  withFile(machine, timeline, (file) => SwSyncTimeline.of(file).inc(by));
}

export function syncMerge(machine: Machine, fd: number, fd2: number, name = 'merged'): number {
  return withFile(machine, fd, (file) => SyncFile.of(file).mergeFd({ fd2, name }));
}

/** One descriptor in place of all `fds`. */
export function mergeAll(machine: Machine, fds: readonly number[]): number {
  return fds.reduce((all, fd) => {
    const merged = syncMerge(machine, all, fd);
    close(machine, all, fd);
    return merged;
  });
}

/** Waits up to `timeoutMs`, without limit below 0; tells whether the fence ended. */
export function syncWait(machine: Machine, fd: number, timeoutMs: number): boolean {
  const [ready] = poll(machine, [{ fd, events: PollEvents.IN | PollEvents.ERR }], { timeoutMs });
  if (ready === PollEvents.IN || ready === 0) return ready !== 0;
  throw new Error(`poll says ${ready}`);
}

/** The descriptor's fences that are in that state. */
export function count(machine: Machine, fd: number, status: number): number {
  const { fences = [] } = withFile(machine, fd, (file) => SyncFile.of(file).info());
  return fences.filter((fence) => Math.sign(fence.status) === status).length;
}

export function size(machine: Machine, fd: number): number {
  return withFile(machine, fd, (file) => SyncFile.of(file).info({ room: 0 })).numFences;
}

export function statusOf(machine: Machine, fd: number): number {
  return withFile(machine, fd, (file) => SyncFile.of(file).info()).status;
}

export function close(machine: Machine, ...fds: number[]): void {
  for (const fd of fds) FdTable.current(machine).close(fd);
}
