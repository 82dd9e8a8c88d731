import { atomicLoad, atomicOr } from '@dmabuf-emu/shm';
import { CAP_ENABLE, CAP_SIGNALED, ENABLE_SIGNAL, SIGNALED, STATE } from './layout.ts';
import { withLock } from './lock.ts';
import { signal, signalLocked } from './signal.ts';
import type { FenceTable } from './table.ts';

/** The flag, without asking the driver. @kernel dma_fence_test_signaled_flag */
export function testFlag(t: FenceTable, p: number): boolean {
  return (atomicLoad(t.mem, p + STATE) & SIGNALED) !== 0;
}

/** A glance, which may be late: the flag is not set, and the driver has no say. */
export function looksPending(t: FenceTable, p: number): boolean {
  return (t.mem.i32[p + STATE]! & SIGNALED) === 0 && (t.caps(p) & CAP_SIGNALED) === 0;
}

/** The flag, else what the driver says; the driver's yes signals the fence. @kernel dma_fence_is_signaled */
export function isSignaled(t: FenceTable, ref: number, p: number): boolean {
  if (testFlag(t, p)) return true;
  if ((t.caps(p) & CAP_SIGNALED) === 0 || !t.driver(p).signaled!(t.fence(ref))) return false;
  signal(t, ref, p);
  return true;
}

/** {@link isSignaled} with the fence's lock held. @kernel dma_fence_is_signaled_locked */
export function isSignaledLocked(t: FenceTable, ref: number, p: number): boolean {
  if (testFlag(t, p)) return true;
  if ((t.caps(p) & CAP_SIGNALED) === 0 || !t.driver(p).signaled!(t.fence(ref))) return false;
  signalLocked(t, ref, p);
  return true;
}

/**
 * Makes sure that the fence will be signalled by itself, with its lock held: asks the driver the first time.
 * @returns false when the fence is signalled now.
 * @kernel __dma_fence_enable_signaling
 */
export function enableLocked(t: FenceTable, ref: number, p: number): boolean {
  const old = atomicOr(t.mem, p + STATE, ENABLE_SIGNAL);
  if ((old & SIGNALED) !== 0) return false;
  if ((old & ENABLE_SIGNAL) !== 0 || (t.caps(p) & CAP_ENABLE) === 0) return true;
  t.trace('dma_fence_enable_signal', ref, p);
  if (t.driver(p).enableSignaling!(t.fence(ref))) return true;
  signalLocked(t, ref, p);
  return false;
}

/** Makes sure that the fence will be signalled by itself. @kernel dma_fence_enable_sw_signaling */
export function enable(t: FenceTable, ref: number, p: number): void {
  const v = atomicLoad(t.mem, p + STATE);
  if ((v & ENABLE_SIGNAL) !== 0) return;
  if ((v & SIGNALED) !== 0 || (t.caps(p) & CAP_ENABLE) === 0) atomicOr(t.mem, p + STATE, ENABLE_SIGNAL);
  else enableSlowly(t, ref, p);
}

function enableSlowly(t: FenceTable, ref: number, p: number): void {
  withLock(t, p, () => enableLocked(t, ref, p));
}
