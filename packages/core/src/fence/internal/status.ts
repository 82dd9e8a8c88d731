import { syncPoint } from '@dmabuf-emu/shm';
import { CORE_QUIRKS } from '../../quirks.ts';
import { errorOf } from './error.ts';
import { CAP_DEADLINE, FenceStruct as F, RING, STATE } from './layout.ts';
import { driverName, timelineName } from './names.ts';
import { isSignaled, isSignaledLocked, testFlag } from './poll.ts';
import { isStamped, stampOf } from './signal.ts';
import type { FenceTable } from './table.ts';

/** 0 while active, then the error if there is one, else 1. May signal. @kernel dma_fence_get_status */
export function status(t: FenceTable, ref: number, p: number): number {
  return isSignaled(t, ref, p) ? errorOf(t, p) || 1 : 0;
}

/** {@link status} with the fence's lock held. @kernel dma_fence_get_status_locked */
export function statusLocked(t: FenceTable, ref: number, p: number): number {
  return isSignaledLocked(t, ref, p) ? errorOf(t, p) || 1 : 0;
}

/** When it was signalled, in nanoseconds; now, after a WARN, when it was not. @kernel dma_fence_timestamp */
export function timestamp(t: FenceTable, p: number): number {
  if (!testFlag(t, p)) {
    t.machine.diag.warn('fence-timestamp', 'dma_fence_timestamp of a fence that is not signalled');
    return t.machine.clock.nowNs();
  }
  while (!isStamped(t, p)) syncPoint('fence.timestamp', p + RING);
  return stampOf(t, p);
}

/** Tells the issuer when the fence is needed. @kernel dma_fence_set_deadline */
export function setDeadline(t: FenceTable, ref: number, p: number, deadlineNs: number): void {
  const state = t.mem.i32[p + STATE]!;
  if ((t.liveCaps(p, state) & CAP_DEADLINE) === 0 || isSignaled(t, ref, p)) return;
  t.driver(p).setDeadline!(t.fence(ref), deadlineNs);
}

/** `context:seqno timeline driver [un]signalled` and a newline. May signal. @kernel dma_fence_describe */
export function describe(t: FenceTable, ref: number, p: number): string {
  const context = F.context.get(t.mem, p) >>> 0;
  const seqno = F.seqno.get(t.mem, p);
  if (CORE_QUIRKS.has(t.machine, 'fence.describeBySeqno')) {
    const names = `${driverName(t, ref, p)} ${timelineName(t, ref, p)}`;
    return `${names} seq ${seqno} ${isSignaled(t, ref, p) ? '' : 'un'}signalled\n`;
  }
  if (isSignaled(t, ref, p)) return `${context}:${seqno}   signalled\n`;
  return `${context}:${seqno} ${timelineName(t, ref, p)} ${driverName(t, ref, p)} unsignalled\n`;
}
