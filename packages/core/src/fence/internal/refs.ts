import { atomicCas, atomicLoad, INDEX_MASK, isSyncHooked, syncPoint } from '@dmabuf-emu/shm';
import { setError } from './error.ts';
import { CALLBACKS, FenceStruct as F, REF, REF_SHIFT, RELEASES, SIGNALED, STATE, WAITERS } from './layout.ts';
import { withLock } from './lock.ts';
import { namesForReport } from './names.ts';
import { signalLocked } from './signal.ts';
import type { FenceTable } from './table.ts';

/** What of the state, with {@link FenceTable.lastState}, tells that the last reference to go is all there is to do. */
const LAST_MASK = (-1 << REF_SHIFT) | SIGNALED | RELEASES;

/** Takes a reference; the caller owns one already. @kernel dma_fence_get */
export function getFence(t: FenceTable, ref: number): void {
  if (isSyncHooked()) syncPoint('fence.get', t.slab.at(ref) + STATE);
  if (t.slab.add(ref, STATE, REF) >>> REF_SHIFT !== 0) return;
  t.slab.add(ref, STATE, -REF);
  t.machine.diag.warn('refcount-from-zero', 'reference taken on a fence whose count is 0');
}

/**
 * Takes a reference on a fence that may be going, or gone and its memory in use by another.
 * @returns the fence's word, or 0 when it is too late.
 * @kernel dma_fence_get_rcu
 */
export function tryGetFence(t: FenceTable, ref: number): number {
  const p = t.slab.tryAt(ref);
  if (p === 0) return 0;
  const at = p + STATE;
  syncPoint('fence.get', at);
  for (let v = atomicLoad(t.mem, at); v >>> REF_SHIFT !== 0;) {
    const old = atomicCas(t.mem, at, v, v + REF);
    if (old !== v) {
      v = old;
      continue;
    }
    const now = t.slab.refOf(ref & INDEX_MASK);
    if (now === ref) return p;
    putFence(t, now);
    return 0;
  }
  return 0;
}

/** Takes a reference on whatever fence the shared word `at` names, 0 for none. @kernel dma_fence_get_rcu_safe */
export function getFenceAt(t: FenceTable, at: number): number {
  for (;;) {
    const ref = atomicLoad(t.mem, at);
    if (ref === 0) return 0;
    if (tryGetFence(t, ref) === 0) continue;
    if (atomicLoad(t.mem, at) === ref) return ref;
    putFence(t, ref);
  }
}

/** Drops a reference, which the caller owns. @kernel dma_fence_put */
export function putFence(t: FenceTable, ref: number): void {
  if (isSyncHooked()) syncPoint('fence.put', t.slab.at(ref) + STATE);
  const old = t.slab.put(ref, LAST_MASK, t.lastState);
  if (old >>> REF_SHIFT <= 1) putLast(t, ref, old);
}

/** The last reference is gone, as a rule. @kernel dma_fence_release, dma_fence_free */
function putLast(t: FenceTable, ref: number, state: number): void {
  if (state >>> REF_SHIFT !== 1) return underflow(t, ref);
  if ((state & LAST_MASK) === t.lastState || isReleased(t, ref, t.slab.at(ref), state))
    t.slab.free(ref, 'dma_fence_free');
}

/** Does what comes before a fence is freed; false when a new reference came up. */
function isReleased(t: FenceTable, ref: number, p: number, state: number): boolean {
  if (t.tracing) t.trace('dma_fence_destroy', ref, p);
  if ((state & SIGNALED) === 0 && (state & (CALLBACKS | WAITERS)) !== 0) {
    endPending(t, ref, p, state);
    // A closure that was posted to its task holds a new reference: the release goes on when that one is dropped.
    if (atomicLoad(t.mem, p + STATE) >>> REF_SHIFT !== 0) return false;
  }
  if ((state & RELEASES) !== 0) t.driver(p).release!(t.fence(ref));
  return true;
}

function underflow(t: FenceTable, ref: number): void {
  t.slab.add(ref, STATE, REF);
  t.machine.diag.warn('refcount-underflow', 'reference to a fence dropped that nobody held');
}

/** Somebody still waits for a fence that nobody can signal any more: ends it with EDEADLK. */
function endPending(t: FenceTable, ref: number, p: number, state: number): void {
  const { machine } = t;
  const context = (F.context.get(t.mem, p) >>> 0).toString(16);
  const text = `Fence ${namesForReport(t, ref, p)}:${context}:${F.seqno.get(t.mem, p).toString(16)} released with pending signals!`;
  let warned = (state & CALLBACKS) !== 0;
  if (warned) machine.diag.warn('fence-pending', text);
  withLock(t, p, () => {
    setError(t, p, 'EDEADLK');
    if (!warned && machine.wake(p + STATE) > 0) {
      warned = true;
      machine.diag.warn('fence-pending', text);
    }
    signalLocked(t, ref, p);
  });
}
