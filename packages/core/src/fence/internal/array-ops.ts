import { syncPoint } from '@dmabuf-emu/shm';
import { type CallbackDriver, defineFenceCallback } from '../callback.ts';
import { defineFenceOps, type FenceDriver } from '../ops.ts';
import { arrayAt, callbackOf, callbacksOf, freeArray, membersOf, vectorAt } from './array.ts';
import { FenceArrayStruct as A, PENDING_ERROR } from './container-layout.ts';
import { errorOf, setError } from './error.ts';
import { CallbackStruct as C, ENABLE_SIGNAL, FenceStruct as F, SIGNALED } from './layout.ts';
import { withLock } from './lock.ts';
import { isSignaled, testFlag } from './poll.ts';
import { getFence, putFence, tryGetFence } from './refs.ts';
import { addCallback } from './register.ts';
import { signal } from './signal.ts';
import { setDeadline } from './status.ts';
import type { FenceTable } from './table.ts';

/** The operations of arrays, over one thread's table. @kernel dma_fence_array_ops */
export function arrayOps(t: FenceTable): FenceDriver {
  return defineFenceOps({
    name: 'dma_fence_array',
    isContainer: true,
    getDriverName: () => 'dma_fence_array',
    getTimelineName: () => 'unbound',
    enableSignaling: (fence) => enableArray(t, fence.ref),
    signaled: (fence) => arraySignaled(t, t.slab.at(fence.ref)),
    release(fence) {
      const p = t.slab.at(fence.ref);
      dropMembers(t, arrayAt(t, p));
      freeArray(t, F.priv.get(t.mem, p));
    },
    setDeadline(fence, deadlineNs) {
      for (const member of membersOf(t, arrayAt(t, t.slab.at(fence.ref))))
        setDeadline(t, member, t.slab.at(member), deadlineNs);
    },
  });
}

/** Each reference leaves the array before it is dropped: a task that dies here loses it, but drops none twice. */
function dropMembers(t: FenceTable, a: number): void {
  const vector = vectorAt(t, a);
  for (const [i, member] of membersOf(t, a).entries()) {
    t.mem.i32[vector + i] = 0;
    putFence(t, member);
  }
}

/** What a member does when it ends; its lock is held. @kernel dma_fence_array_cb_func */
export function arrayCallback(t: FenceTable): CallbackDriver {
  return defineFenceCallback({
    name: 'dma_fence_array_cb',
    run(member, callback) {
      const ref = callback.arg;
      const a = arrayAt(t, t.slab.at(ref));
      noteError(t, a, errorOf(t, t.slab.at(member.ref)));
      syncPoint('fence_array.count', a + A.pending.at);
      if (A.pending.sub(t.mem, a, 1) !== 1 && !isEndedLossy(t, a)) return putFence(t, ref);
      syncPoint('fence_array.work', a + A.work.at);
      A.work.store(t.mem, a, t.machine.tid);
      t.machine.irqWork(() => endArray(t, ref));
    },
  });
}

/** Puts a callback on each member; false when enough of them have ended. @kernel dma_fence_array_enable_signaling */
function enableArray(t: FenceTable, ref: number): boolean {
  const { mem } = t;
  const p = t.slab.at(ref);
  const a = arrayAt(t, p);
  const vector = vectorAt(t, a);
  for (let i = 0, count = A.count.get(mem, a); i < count; i++) {
    const member = mem.i32[vector + i]!;
    const mp = t.slab.at(member);
    getFence(t, ref);
    if (addCallback(t, member, mp, callbackOf(mem, a, vector, i))) continue;
    noteError(t, a, errorOf(t, mp));
    putFence(t, ref);
    if (A.pending.sub(mem, a, 1) !== 1) continue;
    settleError(t, a, p);
    return false;
  }
  return true;
}

/** @kernel dma_fence_array_signaled */
function arraySignaled(t: FenceTable, p: number): boolean {
  const { mem } = t;
  const a = arrayAt(t, p);
  // Read before the flag: once it is set the number only falls.
  let pending = A.pending.load(mem, a);
  let done = pending <= 0 || isEndedLossy(t, a);
  if ((F.state.load(mem, p) & ENABLE_SIGNAL) === 0) {
    const vector = vectorAt(t, a);
    done = false;
    for (let i = 0, count = A.count.get(mem, a); i < count && !done; i++) {
      const member = mem.i32[vector + i]!;
      if (isSignaled(t, member, t.slab.at(member))) done = --pending === 0;
    }
  }
  if (done) settleError(t, a, p);
  return done;
}

/**
 * Ends an array, after the member that completed it is through with its callbacks and its lock is free; uses up the work's
 * reference. @kernel irq_dma_fence_array_work
 */
export function endArray(t: FenceTable, ref: number): void {
  const p = t.slab.at(ref);
  const a = arrayAt(t, p);
  end(t, a, ref, p);
  A.work.store(t.mem, a, 0);
  putFence(t, ref);
}

function end(t: FenceTable, a: number, ref: number, p: number): void {
  settleError(t, a, p);
  signal(t, ref, p);
}

/** @kernel dma_fence_array_set_pending_error */
function noteError(t: FenceTable, a: number, error: number): void {
  if (error !== 0) A.error.cas(t.mem, a, PENDING_ERROR, error);
}

/** Makes the members' error, if there was one, that of the array. @kernel dma_fence_array_clear_pending_error */
function settleError(t: FenceTable, a: number, p: number): void {
  const error = A.error.cas(t.mem, a, PENDING_ERROR, 0);
  if (error < 0) setError(t, p, error);
}

/** Whether enough members have ended for an array of which a signal may have been lost. */
function isEndedLossy(t: FenceTable, a: number): boolean {
  return A.lossy.load(t.mem, a) !== 0 && isEnded(t, a);
}

function isEnded(t: FenceTable, a: number): boolean {
  return membersOf(t, a).filter((member) => testFlag(t, t.slab.at(member))).length >= A.needed.get(t.mem, a);
}

/**
 * Finishes what task `task` left undone when it died: the end of the array behind the struct `slot`, which it had taken on; or
 * putting callbacks on the members, or counting one of them, which from now on is done by looking.
 */
export function reapArray(t: FenceTable, slot: number, task: number): void {
  const a = t.containers.arrays.tryAt(slot);
  const base = a === 0 ? 0 : A.base.get(t.mem, a);
  const p = base === 0 ? 0 : tryGetFence(t, base);
  if (p === 0) return;
  if (A.work.cas(t.mem, a, task, t.machine.tid) === task) endArray(t, base);
  else if ((F.state.load(t.mem, p) & (ENABLE_SIGNAL | SIGNALED)) === ENABLE_SIGNAL) {
    A.lossy.store(t.mem, a, 1);
    withLock(t, p, () => armRest(t, base, a));
    if (isEnded(t, a)) end(t, a, base, p);
  }
  putFence(t, base);
}

/** Puts the callbacks on the members again that are on none; those of members that have ended stay off. */
function armRest(t: FenceTable, ref: number, a: number): void {
  const callbacks = callbacksOf(t, a);
  for (const [i, member] of membersOf(t, a).entries()) {
    const cb = callbacks[i]!;
    if (C.fence.load(t.mem, t.callbacks.at(cb)) !== 0) continue;
    getFence(t, ref);
    if (addCallback(t, member, t.slab.at(member), cb)) continue;
    noteError(t, a, errorOf(t, t.slab.at(member)));
    putFence(t, ref);
  }
}
