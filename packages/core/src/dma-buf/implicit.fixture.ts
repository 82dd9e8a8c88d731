import {
  type DmaBuf,
  FdTable,
  poll,
  PollEvents,
  ResvUsage,
  type SignalRight,
  SyncFile,
  SyncFlags,
} from '@dmabuf-emu/core';
import { pendingFence } from '#dist/dma-buf/fences.test-worker.js';
import type { Machine } from '@dmabuf-emu/shm';

const { IN, OUT } = PollEvents;

/** What the buffer is ready for, of `events`. */
export function ready(dmabuf: DmaBuf, events: number = IN | OUT): number {
  return poll(dmabuf.machine, [{ file: dmabuf.file, events }], { timeoutMs: 0 })[0]!;
}

/** Adds a fresh fence to the buffer, as vgem's attach does: a writer's or a reader's. */
export function attachFence(dmabuf: DmaBuf, usage: ResvUsage): SignalRight {
  const right = pendingFence(dmabuf.machine);
  dmabuf.resv.with(() => {
    dmabuf.resv.reserveFences(1);
    dmabuf.resv.addFence(right.fence, usage);
  });
  return right;
}

/** Whether somebody who wants to read or write has to wait, by poll. */
export function busy(dmabuf: DmaBuf, flags: number): boolean {
  const event = (flags & SyncFlags.WRITE) !== 0 ? OUT : IN;
  return ready(dmabuf, event) === 0;
}

export function syncFileBusy(machine: Machine, fd: number): boolean {
  return poll(machine, [{ fd, events: IN }], { timeoutMs: 0 })[0] === 0;
}

/** The same by a sync_file of the buffer's fences. */
export function exportBusy(dmabuf: DmaBuf, flags: number): boolean {
  const fd = dmabuf.exportSyncFile(flags);
  const answer = syncFileBusy(dmabuf.machine, fd);
  FdTable.current(dmabuf.machine).close(fd);
  return answer;
}

/** What a sync_file tells of its fences. */
export function infoOf(machine: Machine, fd: number): ReturnType<SyncFile['info']> {
  const file = SyncFile.tryGet(machine, fd)!;
  const info = file.info();
  file.file.put();
  return info;
}
