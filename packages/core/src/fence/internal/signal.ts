import { atomicCas, atomicLoad, atomicOr, isSyncHooked, syncPoint } from '@dmabuf-emu/shm';
import { CALLBACKS, LOCK, RING, SIGNALED, STATE, WAITERS } from './layout.ts';
import { withLock } from './lock.ts';
import { runCallbacks } from './run.ts';
import type { FenceTable } from './table.ts';

/** High word of the double 1: a time stamp's is at least that, a task id never. */
const STAMPED = 0x3ff00000;

/**
 * Signals a fence that the caller has a reference to: flag, trace, detach (implied by the flag), time stamp, callbacks.
 * Without callbacks it is one compare-and-exchange.
 * @returns whether it was signalled already; then nothing happens.
 * @throws whatever a callback threw, after all of them ran.
 * @kernel dma_fence_check_and_signal, dma_fence_signal_timestamp
 */
export function signal(t: FenceTable, ref: number, p: number, timestampNs?: number): boolean {
  const at = p + STATE;
  syncPoint('fence.signal', at);
  // A plain look: what matters is decided by the compare-and-exchange.
  let v = t.mem.i32[at]!;
  if ((v & SIGNALED) !== 0) return true;
  const stamp = timestampNs ?? t.machine.clock.nowNs();
  while ((v & (LOCK | CALLBACKS)) === 0) {
    const old = atomicCas(t.mem, at, v, v | SIGNALED);
    if (old === v) {
      if (t.tracing) t.trace('dma_fence_signaled', ref, p);
      setStamp(t, p, stamp);
      if ((v & WAITERS) !== 0) t.machine.wake(at);
      return false;
    }
    if ((old & SIGNALED) !== 0) return true;
    v = old;
  }
  return signalSlowly(t, ref, p, stamp);
}

/**
 * {@link signal} for a fence that has no callbacks and nobody at its lock, on a machine without trace or hook: one step.
 * @returns false when nothing was done.
 */
export function signalPlain(t: FenceTable, ref: number, timestampNs?: number): boolean {
  if (t.tracing || isSyncHooked()) return false;
  const stamp = stampWord(timestampNs ?? t.machine.clock.nowNs());
  const old = t.slab.mark(ref, SIGNALED, SIGNALED | LOCK | CALLBACKS, stamp);
  if (old === -1) return false;
  if ((old & WAITERS) !== 0) t.machine.wake(t.slab.at(ref) + STATE);
  return true;
}

/** The same under the lock. Apart, because a function that makes a closure pays for it on every call. */
function signalSlowly(t: FenceTable, ref: number, p: number, stamp: number): boolean {
  return withLock(t, p, () => signalLocked(t, ref, p, stamp));
}

/** {@link signal} with the fence's lock held. @kernel dma_fence_signal_timestamp_locked */
export function signalLocked(t: FenceTable, ref: number, p: number, timestampNs?: number): boolean {
  const at = p + STATE;
  const old = atomicOr(t.mem, at, SIGNALED);
  if ((old & SIGNALED) !== 0) return true;
  t.trace('dma_fence_signaled', ref, p);
  const first = (old & CALLBACKS) !== 0 ? t.mem.i32[p + RING]! : 0;
  setStamp(t, p, timestampNs ?? t.machine.clock.nowNs());
  if ((old & WAITERS) !== 0) t.machine.wake(at);
  if (first !== 0) runCallbacks(t, ref, first);
  return false;
}

/** A time stamp as it is stored: 1 is added to tell it from its absence. */
function stampWord(timestampNs: number): number {
  return Math.max(0, timestampNs) + 1;
}

/** Writes the time stamp; one aligned double, written whole by every host. */
function setStamp(t: FenceTable, p: number, timestampNs: number): void {
  syncPoint('fence.stamp', p + RING);
  t.mem.f64[(p + RING) >>> 1] = stampWord(timestampNs);
}

/** Whether the time stamp of a signalled fence has been written. @kernel DMA_FENCE_FLAG_TIMESTAMP_BIT */
export function isStamped(t: FenceTable, p: number): boolean {
  return (atomicLoad(t.mem, p + STATE) & SIGNALED) !== 0 && atomicLoad(t.mem, p + RING + 1) >= STAMPED;
}

/** The time stamp; only while {@link isStamped}. */
export function stampOf(t: FenceTable, p: number): number {
  return t.mem.f64[(p + RING) >>> 1]! - 1;
}

/** Writes a time stamp that the signaller died before writing. */
export function repairStamp(t: FenceTable, p: number): void {
  if (!isStamped(t, p)) setStamp(t, p, t.machine.clock.nowNs());
}
