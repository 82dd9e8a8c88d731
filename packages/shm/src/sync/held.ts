import type { Machine } from '../machine/machine.ts';
import { MAX_HELD, TaskStruct } from '../machine/header.ts';

const COUNT = TaskStruct.heldCount.at;
const HELD = TaskStruct.held.at;

export const HELD_MUTEX = 0;
export const HELD_READ = 1;
export const HELD_WRITE = 2;
export const HELD_WW = 3;
export type HeldKind = 0 | 1 | 2 | 3;
/** Set in a note while the lock is only asked for; needed where the lock word does not name its holders. */
export const ASKED = 8;

/**
 * Notes in the task's record that it takes the lock at `at`. Noted before the lock word changes and removed after, so that
 * the reaper of a dead task finds every lock it may have held.
 * @param lockClass number of the lock's class, 0 when lock-order validation is off.
 */
export function noteHeld(machine: Machine, at: number, kind: number, lockClass: number): void {
  const { i32 } = machine.mem;
  const task = machine.taskAt;
  const n = i32[task + COUNT]!;
  if (n === MAX_HELD) tooManyHeld(machine);
  i32[task + HELD + 2 * n] = at;
  i32[task + HELD + 2 * n + 1] = kind | (lockClass << 4);
  i32[task + COUNT] = n + 1;
}

/** Byte of the calling task's list of held locks: a count, then pairs of lock word and info. */
export function heldByte(machine: Machine): number {
  return (machine.taskAt + COUNT) * 4;
}

export function tooManyHeld(machine: Machine): never {
  return machine.diag.bug('held-locks', `task ${machine.tid} holds ${MAX_HELD} locks`);
}

/** Turns the newest note from asked for into held. Call in the same breath as the lock word's change. */
export function noteTaken(machine: Machine): void {
  const { i32 } = machine.mem;
  const last = machine.taskAt + HELD + 2 * i32[machine.taskAt + COUNT]! - 1;
  i32[last] = i32[last]! & ~ASKED;
}

/** Removes the newest note of the lock at `at`, and runs deferred work when it was the last lock. */
export function noteReleased(machine: Machine, at: number): void {
  noteDropped(machine, at);
  if (machine.hasDeferredWork) machine.flushWork();
}

/** {@link noteReleased} without the deferred work: for unlocks that have waiters to wake first. */
export function noteDropped(machine: Machine, at: number): void {
  const { i32 } = machine.mem;
  const task = machine.taskAt;
  const last = i32[task + COUNT]! - 1;
  if (last >= 0 && i32[task + HELD + 2 * last] === at) i32[task + COUNT] = last;
  else closeGap(i32, task, at, last);
}

function closeGap(i32: Int32Array, task: number, at: number, last: number): void {
  const list = task + HELD;
  let n = last;
  while (n >= 0 && i32[list + 2 * n] !== at) n--;
  if (n < 0) return;
  for (; n < last; n++) {
    i32[list + 2 * n] = i32[list + 2 * n + 2]!;
    i32[list + 2 * n + 1] = i32[list + 2 * n + 3]!;
  }
  i32[task + COUNT] = last;
}

/** A lock in a task's record. */
export interface HeldLock {
  readonly at: number;
  readonly kind: HeldKind;
  readonly asked: boolean;
  readonly lockClass: string;
}

/** The locks that the task at word `task` holds or is taking, oldest first. */
export function heldLocks(machine: Machine, task: number): HeldLock[] {
  const { i32 } = machine.mem;
  return Array.from({ length: Math.min(MAX_HELD, i32[task + COUNT]!) }, (_, n) => {
    const info = i32[task + HELD + 2 * n + 1]!;
    return {
      at: i32[task + HELD + 2 * n]!,
      kind: (info & 7) as HeldKind,
      asked: (info & ASKED) !== 0,
      lockClass: machine.lockdep.className(info >>> 4),
    };
  });
}

/** How many locks the calling task holds or asks for. */
export function heldCount(machine: Machine): number {
  return machine.mem.i32[machine.taskAt + COUNT]!;
}

/** Word of the calling task's `n`-th lock. */
export function heldAt(machine: Machine, n: number): number {
  return machine.mem.i32[machine.taskAt + HELD + 2 * n]!;
}

/** Class number of the calling task's `n`-th lock. */
export function heldClass(machine: Machine, n: number): number {
  return machine.mem.i32[machine.taskAt + HELD + 2 * n + 1]! >>> 4;
}
