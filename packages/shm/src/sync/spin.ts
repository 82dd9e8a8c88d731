import type { Machine } from '../machine/machine.ts';
import { HEADER_AT, MachineHeader, MAX_SPINS, TASK_DEAD, TaskStruct, taskAt } from '../machine/header.ts';
import { syncPoint } from './sync-point.ts';

const SPIN_TURNS = 200;
const NAP_MS = 0.2;
const DEPTH = TaskStruct.spinDepth.at;
const SPINS = TaskStruct.spins.at;

/**
 * Takes a lock for a section of a few loads and stores; the word holds the owner's task id, 0 when free.
 * A lock whose owner died is taken over: what it protects must be published by single stores.
 * @kernel raw_spin_lock
 */
export function spinLock(machine: Machine, at: number): void {
  syncPoint('spin.lock', at);
  if (machine.mem.movers.cas(at, 0, machine.tid) !== 0) spinContended(machine, at);
}

/** @kernel raw_spin_unlock */
export function spinUnlock(machine: Machine, at: number): void {
  machine.mem.movers.store(at, 0);
  syncPoint('spin.unlock', at);
}

function spinContended(machine: Machine, at: number): void {
  const { i32 } = machine.mem;
  for (;;) {
    for (let turn = 0; turn < SPIN_TURNS; turn++) {
      if (Atomics.load(i32, at) === 0 && Atomics.compareExchange(i32, at, 0, machine.tid) === 0) return;
    }
    syncPoint('spin.retry', at);
    const owner = Atomics.load(i32, at);
    if (owner === 0) continue;
    if (owner === machine.tid) machine.diag.bug('spin-recursion', `task ${owner} takes spin lock ${at} twice`);
    if (ownerDied(machine, owner)) {
      if (Atomics.compareExchange(i32, at, owner, machine.tid) === owner) return;
    } else {
      Atomics.wait(i32, at, owner, NAP_MS);
    }
  }
}

/**
 * Takes one bit of a state word as a spin lock and returns the word's old value. Bit locks nest, last taken first freed.
 * The task's record names word and bit, so that the reaper can free it after a hard death. Taking one twice is a BUG.
 */
export function bitSpinLock(machine: Machine, at: number, bit: number): number {
  syncPoint('spin.lock', at);
  const { i32 } = machine.mem;
  const depth = i32[machine.taskAt + DEPTH]!;
  if (depth === MAX_SPINS) machine.diag.bug('spin-depth', `task ${machine.tid} nests more than ${MAX_SPINS} bit locks`);
  let old = Atomics.or(i32, at, bit);
  if ((old & bit) !== 0) old = bitSpinContended(machine, at, bit);
  const note = machine.taskAt + SPINS + 2 * depth;
  i32[note] = at;
  i32[note + 1] = bit;
  i32[machine.taskAt + DEPTH] = depth + 1;
  return old;
}

/**
 * Frees a {@link bitSpinLock}, the newest one of the task, and returns the word's value before, lock bit included. When it
 * was the last one, the task's irq work runs.
 */
export function bitSpinUnlock(machine: Machine, at: number, bit: number): number {
  const old = Atomics.and(machine.mem.i32, at, ~bit);
  const depth = machine.mem.i32[machine.taskAt + DEPTH]! - 1;
  machine.mem.i32[machine.taskAt + DEPTH] = depth;
  syncPoint('spin.unlock', at);
  if (depth === 0 && machine.hasIrqWork) machine.runIrqWork();
  return old;
}

/** How many bit locks the calling task holds: above 0 it must not sleep. @kernel preempt_count */
export function bitSpinDepth(machine: Machine): number {
  return machine.mem.i32[machine.taskAt + DEPTH]!;
}

/** Whether the calling task holds that bit lock. */
export function bitSpinHeld(machine: Machine, at: number): boolean {
  const { i32 } = machine.mem;
  for (let n = i32[machine.taskAt + DEPTH]! - 1; n >= 0; n--) {
    if (i32[machine.taskAt + SPINS + 2 * n] === at) return true;
  }
  return false;
}

function bitSpinContended(machine: Machine, at: number, bit: number): number {
  const { i32 } = machine.mem;
  if (bitSpinHeld(machine, at)) machine.diag.bug('spin-recursion', `task ${machine.tid} takes bit lock ${at} twice`);
  for (let turn = 1; ; turn++) {
    for (let n = 0; n < SPIN_TURNS && (Atomics.load(i32, at) & bit) !== 0; n++);
    const old = Atomics.or(i32, at, bit);
    if ((old & bit) === 0) return old;
    if (turn % 8 === 0) {
      syncPoint('spin.retry', at);
      const now = Atomics.load(i32, at);
      if ((now & bit) !== 0) Atomics.wait(i32, at, now, NAP_MS);
    }
  }
}

/** True when task `id` is known to have died inside the kernel. */
function ownerDied(machine: Machine, id: number): boolean {
  return (
    MachineHeader.deaths.get(machine.mem, HEADER_AT) > 0 && TaskStruct.state.load(machine.mem, taskAt(id)) === TASK_DEAD
  );
}
