import { atomicLoad, FOREVER, KernelError, TaskKilled } from '@dmabuf-emu/shm';
import { CallbackStruct as C, FUNC_WAKE } from './layout.ts';
import { eventWord } from './mailbox.ts';
import { isSignaled, testFlag } from './poll.ts';
import { addCallback, removeCallback } from './register.ts';
import type { FenceTable } from './table.ts';
import { checkTimeout, interrupted, mightSleep, remaining } from './wait.ts';

const CALL = 'dma_fence_wait_any_timeout';

/** How a wait for several fences ended. */
export interface WaitAnyResult {
  /** What is left of the timeout in milliseconds; 0 when it passed first. */
  readonly remainingMs: number;
  /** The first signalled fence of the list, -1 when the timeout passed. */
  readonly index: number;
}

/**
 * Waits until one of the fences is signalled.
 * @throws KernelError EINVAL after a WARN for an empty list, a null fence or a negative timeout; ENOMEM; ERESTARTSYS.
 * @kernel dma_fence_wait_any_timeout
 */
export function waitAny(
  t: FenceTable,
  refs: readonly number[],
  interruptible: boolean,
  timeoutMs: number,
): WaitAnyResult {
  if (refs.length === 0 || refs.includes(0)) {
    t.machine.diag.warn('fence-wait-any', `${CALL}: ${refs.length === 0 ? 'no fences' : 'a null fence'}`);
    throw new KernelError('EINVAL', CALL, `needs one or more fences, got ${refs.length === 0 ? 'none' : 'a null one'}`);
  }
  checkTimeout(t, CALL, timeoutMs);
  if (timeoutMs === 0) {
    const index = refs.findIndex((ref) => isSignaled(t, ref, t.slab.at(ref)));
    return { remainingMs: index < 0 ? 0 : 1, index };
  }
  mightSleep(t, CALL);
  const added: number[] = [];
  try {
    const result = waitQueued(t, refs, added, interruptible, timeoutMs);
    removeAll(t, refs, added);
    return result;
  } catch (error) {
    if (!(error instanceof TaskKilled)) removeAll(t, refs, added);
    throw error;
  }
}

/** Puts a wake-up on each fence, noting it in `added`, and sleeps. All memory is there before the first is asked for. */
function waitQueued(
  t: FenceTable,
  refs: readonly number[],
  added: number[],
  interruptible: boolean,
  timeoutMs: number,
): WaitAnyResult {
  const { machine, mem } = t;
  const event = eventWord(t);
  for (let i = 0; i < refs.length; i++) added.push(makeWakeUp(t, event));
  const refused = refs.findIndex((ref, i) => !addCallback(t, ref, t.slab.at(ref), added[i]!));
  if (refused >= 0) return { remainingMs: timeoutMs, index: refused };
  const end = timeoutMs === Number.POSITIVE_INFINITY ? timeoutMs : machine.clock.nowMs() + timeoutMs;
  for (let left = timeoutMs; left > 0; left = remaining(t, end)) {
    const seen = atomicLoad(mem, event);
    const index = refs.findIndex((ref) => testFlag(t, t.slab.at(ref)));
    if (index >= 0) return { remainingMs: left, index };
    if (!machine.spin.whileEqual(mem, event, seen))
      machine.wait(event, seen, CALL, left === Number.POSITIVE_INFINITY ? FOREVER : left, interruptible);
    if (interruptible && machine.signalPending && remaining(t, end) > 0) throw interrupted(CALL);
  }
  return { remainingMs: 0, index: -1 };
}

/** A callback that counts the word `event` up. @throws KernelError ENOMEM */
function makeWakeUp(t: FenceTable, event: number): number {
  const cb = t.callbacks.alloc(CALL);
  const c = t.callbacks.at(cb);
  C.func.set(t.mem, c, FUNC_WAKE);
  C.task.set(t.mem, c, t.machine.tid);
  C.arg.set(t.mem, c, event);
  return cb;
}

function removeAll(t: FenceTable, refs: readonly number[], added: readonly number[]): void {
  for (let i = 0; i < added.length; i++) {
    removeCallback(t, refs[i]!, t.slab.at(refs[i]!), added[i]!);
    t.callbacks.free(added[i]!, CALL);
  }
}
