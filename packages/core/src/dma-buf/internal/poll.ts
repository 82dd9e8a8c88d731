import { isKernelError } from '@dmabuf-emu/shm';
import type { PollHead } from '../../fd/poll/poll-head.ts';
import { pollHeadOf } from '../../fd/poll/poll-head.ts';
import { PollEvents } from '../../fd/poll/poll-events.ts';
import type { PollTable } from '../../fd/poll/poll-table.ts';
import { Fence } from '../../fence/fence.ts';
import { PollCallback } from '../../fence/poll-callback.ts';
import { ResvUsage } from '../../resv/usage.ts';
import type { DmaBuf } from '../dma-buf.ts';
import type { DmaBufState } from './state.ts';
import { DmaBufStruct as B } from './structs.ts';

/**
 * Which of reading and writing would not have to wait for fences. Has one fence of those that it would have to wait for wake
 * the pollers of that direction: until it ends, the callback holds the buffer, and further polls for that direction say not
 * ready without a look. @locks takes resv @kernel dma_buf_poll
 */
export function pollBuffer(dmabuf: DmaBuf, table: PollTable | undefined): number {
  const head = headOf(dmabuf);
  table?.wait(dmabuf.file, head);
  const asked = (table?.requested ?? -1) & (PollEvents.IN | PollEvents.OUT);
  if (asked === 0) return 0;
  try {
    return dmabuf.resv.with(
      () => askDirection(dmabuf, head, asked & PollEvents.OUT) | askDirection(dmabuf, head, asked & PollEvents.IN),
    );
  } catch (error) {
    // The kernel needs no memory here, and its locks have no owners that die.
    if (isKernelError(error, 'ENOMEM') || isKernelError(error, 'EOWNERDEAD')) return PollEvents.ERR;
    throw error;
  }
}

/** `event` (IN, OUT or 0) if the buffer is ready for it, else 0. */
function askDirection(dmabuf: DmaBuf, head: PollHead, event: number): number {
  if (event === 0) return 0;
  const p = dmabuf.state.buffers.at(dmabuf.ref);
  const callback = callbackOf(dmabuf.state, p, event);
  if (callback.callback === 0) callback.init(head, dmabuf.file.ref);
  const isMine = head.withLock(() => {
    if (callback.active !== 0) return false;
    callback.active = event;
    return true;
  });
  if (!isMine) return 0;
  callback.holdFile();
  if (armOnPending(dmabuf, callback, event)) return 0;
  callback.fire();
  return event;
}

/** Puts the callback on the first fence that has not ended; false when all have. @kernel dma_buf_poll_add_cb */
function armOnPending({ machine, resv }: DmaBuf, callback: PollCallback, event: number): boolean {
  const usage = event === PollEvents.OUT ? ResvUsage.READ : ResvUsage.WRITE;
  let armed = false;
  resv.forEach(usage, ({ ref }) => {
    armed ||= callback.arm(Fence.of(machine, ref));
  });
  return armed;
}

/** Where pollers of the buffer wait. */
function headOf({ machine, state, ref }: DmaBuf): PollHead {
  return pollHeadOf(machine, state.buffers.at(ref), B.poll, 'dma_buf.poll');
}

function callbackOf({ machine }: DmaBufState, p: number, event: number): PollCallback {
  return new PollCallback(machine, p + (event === PollEvents.OUT ? B.pollOut : B.pollIn).at);
}

/** Both callbacks of the buffer at word `p`. */
export function pollCallbacks(state: DmaBufState, p: number): PollCallback[] {
  return [callbackOf(state, p, PollEvents.OUT), callbackOf(state, p, PollEvents.IN)];
}

/** Callbacks of all buffers, for the machine's check. */
export function* allPollCallbacks(state: DmaBufState): Generator<PollCallback> {
  for (const ref of state.buffers.live()) {
    const p = state.buffers.tryAt(ref);
    if (p === 0) continue;
    for (const callback of pollCallbacks(state, p)) if (callback.callback !== 0) yield callback;
  }
}
