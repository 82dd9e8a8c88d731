import { atomicLoad, WAIT_TIMED_OUT } from '@dmabuf-emu/shm';
import { drain, dropMail } from './closures.ts';
import { setError } from './error.ts';
import { CallbackStruct as C, FUNC_CLOSURE, OWNER, SIGNALED, STATE, WAITERS } from './layout.ts';
import { withLock } from './lock.ts';
import { eventWord, nudge } from './mailbox.ts';
import { putFence } from './refs.ts';
import { unlink } from './ring.ts';
import { runCallbacks } from './run.ts';
import { repairStamp, signalLocked } from './signal.ts';
import type { FenceTable } from './table.ts';

/** How long a leaving task waits for a closure that another one is about to post to it. */
const POST_MS = 100;

/** The calling task leaves: its posted closures run, the others are cancelled, and fences that only it could signal end. */
export function onLeave(t: FenceTable): void {
  const { machine, mem } = t;
  endOwned(t, machine.tid);
  for (const cb of t.closures.keys()) {
    if (cancelQueued(t, cb)) {
      t.closures.delete(cb);
      t.callbacks.free(cb, 'dma_fence_cb');
    }
  }
  const event = eventWord(t);
  for (;;) {
    const seen = atomicLoad(mem, event);
    drain(t);
    if (t.closures.size === 0) break;
    if (machine.wait(event, seen, 'posted callbacks', POST_MS) === WAIT_TIMED_OUT) break;
  }
  t.closures.clear();
  nudge(t, machine.tid);
}

/** Task `task` died: whatever it alone could have finished is finished for it, so that nobody waits for ever. */
export function onReap(t: FenceTable, task: number): void {
  finishSignals(t);
  endOwned(t, task);
  finishCallbacks(t);
  for (const cb of t.callbacks.live()) {
    const c = t.callbacks.tryAt(cb);
    if (c === 0) continue;
    const isClosure = C.func.get(t.mem, c) === FUNC_CLOSURE && C.task.get(t.mem, c) === task;
    if (isClosure && cancelQueued(t, cb)) t.callbacks.free(cb, 'dma_fence_cb');
  }
  dropMail(t, task);
}

/** Drops the rights to signal that `task` has: their fences end with ECANCELED. */
function endOwned(t: FenceTable, task: number): void {
  for (const ref of t.slab.live()) {
    // Other tasks go on meanwhile: a fence that is not this task's may be freed under our feet.
    const p = t.slab.tryAt(ref);
    if (p === 0 || t.mem.i32[p + OWNER] !== task || (atomicLoad(t.mem, p + STATE) & SIGNALED) !== 0) continue;
    const ended = withLock(t, p, () => {
      if ((atomicLoad(t.mem, p + STATE) & SIGNALED) !== 0 || t.mem.i32[p + OWNER] !== task) return false;
      setError(t, p, 'ECANCELED');
      return !signalLocked(t, ref, p);
    });
    if (ended) putFence(t, ref);
  }
}

/** Stamps and wakes for a signaller that set the flag and died. */
function finishSignals(t: FenceTable): void {
  for (const ref of t.slab.live()) {
    const p = t.slab.tryAt(ref);
    const state = p === 0 ? 0 : atomicLoad(t.mem, p + STATE);
    if ((state & SIGNALED) === 0) continue;
    repairStamp(t, p);
    if ((state & WAITERS) !== 0) t.machine.wake(p + STATE);
  }
}

/** Runs the callbacks that a signaller left on its ring when it died; once the fence's lock is free, nobody else will. */
function finishCallbacks(t: FenceTable): void {
  for (const cb of t.callbacks.live()) {
    const c = t.callbacks.tryAt(cb);
    const ref = c === 0 ? 0 : C.fence.load(t.mem, c);
    const p = t.slab.tryAt(ref);
    if (p === 0 || (atomicLoad(t.mem, p + STATE) & SIGNALED) === 0) continue;
    withLock(t, p, () => {
      if (C.fence.get(t.mem, c) !== ref) return;
      C.next.set(t.mem, c, cb);
      runCallbacks(t, ref, cb);
    });
  }
}

/** Takes a closure of a task that is going off its fence; false when that has been signalled. */
function cancelQueued(t: FenceTable, cb: number): boolean {
  const c = t.callbacks.at(cb);
  const ref = C.fence.load(t.mem, c);
  const p = t.slab.tryAt(ref);
  if (p === 0) return false;
  return withLock(t, p, () => {
    if (C.fence.get(t.mem, c) !== ref || (atomicLoad(t.mem, p + STATE) & SIGNALED) !== 0) return false;
    unlink(t, p, cb);
    return true;
  });
}
