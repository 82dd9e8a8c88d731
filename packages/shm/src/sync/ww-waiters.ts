import type { Machine } from '../machine/machine.ts';
import { TaskStruct, taskAt } from '../machine/header.ts';
import { futexWake } from './futex.ts';
import { WwCtxStruct, younger } from './ww-ctx.ts';

/** Words of a ww mutex behind its owner word. */
export const WW_CTX = 1;
export const WW_WAIT_LOCK = 2;
export const WW_FIRST = 3;
export const WW_LAST = 4;

const T = TaskStruct;
const C = WwCtxStruct;

/*
 * The waiter list of a ww mutex. A task waits for one lock at a time, so its waiter node is part of its task record and is
 * named by its task id. Every function here needs the mutex's wait lock.
 */

/** Puts the calling task in front of `before` (0: at the tail). */
export function insertWaiter(machine: Machine, at: number, ctx: number, before: number): void {
  const { i32 } = machine.mem;
  const me = machine.tid;
  const task = machine.taskAt;
  const prev = before === 0 ? i32[at + WW_LAST]! : i32[taskAt(before) + T.wwPrev.at]!;
  i32[task + T.wwCtx.at] = ctx;
  i32[task + T.wwLock.at] = at;
  i32[task + T.wwNext.at] = before;
  i32[task + T.wwPrev.at] = prev;
  if (prev === 0) i32[at + WW_FIRST] = me;
  else i32[taskAt(prev) + T.wwNext.at] = me;
  if (before === 0) i32[at + WW_LAST] = me;
  else i32[taskAt(before) + T.wwPrev.at] = me;
}

/** Takes waiter `id` out; tells whether it was the first one. */
export function removeWaiter(machine: Machine, at: number, id: number): boolean {
  const { i32 } = machine.mem;
  const task = taskAt(id);
  const next = i32[task + T.wwNext.at]!;
  const prev = i32[task + T.wwPrev.at]!;
  if (prev === 0) i32[at + WW_FIRST] = next;
  else i32[taskAt(prev) + T.wwNext.at] = next;
  if (next === 0) i32[at + WW_LAST] = prev;
  else i32[taskAt(next) + T.wwPrev.at] = prev;
  i32[task + T.wwLock.at] = 0;
  i32[task + T.wwCtx.at] = 0;
  return prev === 0;
}

/** Makes task `id` look at its lock again. */
export function wakeWaiter(machine: Machine, id: number): void {
  const event = taskAt(id) + T.wwEvent.at;
  Atomics.store(machine.mem.i32, event, 1);
  futexWake(machine, event);
}

/** Context word of waiter `id`, 0 when it waits without one. */
export function waiterCtx(machine: Machine, id: number): number {
  return machine.mem.i32[taskAt(id) + T.wwCtx.at]!;
}

export function nextWaiter(machine: Machine, id: number): number {
  return machine.mem.i32[taskAt(id) + T.wwNext.at]!;
}

export function prevWaiter(machine: Machine, id: number): number {
  return machine.mem.i32[taskAt(id) + T.wwPrev.at]!;
}

/**
 * Where the calling task (context at word `ctx`) queues: in front of the returned waiter, 0 for the tail; -1 when it must die
 * instead. Younger waiters that hold locks are woken to die (Wait-Die).
 */
export function findPlace(machine: Machine, at: number, ctx: number): number {
  const { mem } = machine;
  const waitDie = C.waitDie.get(mem, ctx) === 1;
  let before = 0;
  for (let id = mem.i32[at + WW_LAST]!; id !== 0; id = prevWaiter(machine, id)) {
    const other = waiterCtx(machine, id);
    if (other === 0) continue;
    if (younger(machine, ctx, other)) {
      if (waitDie && C.acquired.get(mem, ctx) > 0) return -1;
      break;
    }
    before = id;
    if (waitDie && C.acquired.get(mem, other) > 0) wakeWaiter(machine, id);
  }
  return before;
}

/** Marks the holder wounded when the context at `ctx` is older and holds locks; tells whether it did. */
export function wound(machine: Machine, ctx: number, holderCtx: number, holder: number): boolean {
  const { mem } = machine;
  if (holderCtx === 0 || C.acquired.get(mem, ctx) === 0 || !younger(machine, holderCtx, ctx)) return false;
  C.wounded.store(mem, holderCtx, 1);
  if (holder !== machine.tid && holder !== 0) wakeWaiter(machine, holder);
  return true;
}

/** What a new holder with context `ctx` owes the waiters. */
export function checkWaiters(machine: Machine, at: number, ctx: number): void {
  const { mem } = machine;
  const waitDie = C.waitDie.get(mem, ctx) === 1;
  for (let id = mem.i32[at + WW_FIRST]!; id !== 0; id = nextWaiter(machine, id)) {
    const other = waiterCtx(machine, id);
    if (other === 0) continue;
    if (waitDie) {
      if (C.acquired.get(mem, other) > 0 && younger(machine, other, ctx)) wakeWaiter(machine, id);
      return;
    }
    if (wound(machine, other, ctx, machine.tid)) return;
  }
}

/** True when the calling waiter has to give up with EDEADLK. */
export function mustDie(machine: Machine, at: number, ctx: number): boolean {
  const { mem } = machine;
  if (C.acquired.get(mem, ctx) === 0) return false;
  if (C.waitDie.get(mem, ctx) === 0) return C.wounded.load(mem, ctx) !== 0;
  const holder = mem.i32[at + WW_CTX]!;
  if (holder !== 0 && younger(machine, ctx, holder)) return true;
  for (let id = prevWaiter(machine, machine.tid); id !== 0; id = prevWaiter(machine, id)) {
    if (waiterCtx(machine, id) !== 0) return true;
  }
  return false;
}
