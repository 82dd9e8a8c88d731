import type { Machine } from '../machine/machine.ts';
import { HEADER_AT, MachineHeader, TaskStruct } from '../machine/header.ts';
import { syncPoint } from './sync-point.ts';

/** How a wait ended. */
export const WAIT_OK = 0;
export const WAIT_NOT_EQUAL = 1;
export const WAIT_TIMED_OUT = 2;
export const WAIT_INTERRUPTED = 3;
export type WaitResult = 0 | 1 | 2 | 3;

/** Wait without limit. */
export const FOREVER = -1;

const T = TaskStruct;
/** A real sleep never lasts longer than this without looking at the manual clock again. */
const MANUAL_SLICE_MS = 50;

/**
 * Sleeps while the word at `at` holds `expected`: the one place where kernel code blocks.
 * @param timeoutMs on the machine's clock; {@link FOREVER} for none, 0 only tests.
 * @param interruptible returns {@link WAIT_INTERRUPTED} when the task has a signal pending before or after the sleep.
 * @param label static name of what is waited for, shown in hang reports.
 */
export function futexWait(
  machine: Machine,
  at: number,
  expected: number,
  timeoutMs: number,
  interruptible: boolean,
  label: string,
): WaitResult {
  syncPoint(label, at);
  const { mem, taskAt: task } = machine;
  const { i32 } = mem;
  if (interruptible && T.signal.load(mem, task) !== 0) return WAIT_INTERRUPTED;
  if (timeoutMs === 0) return Atomics.load(i32, at) === expected ? WAIT_TIMED_OUT : WAIT_NOT_EQUAL;
  const manual = MachineHeader.clockManual.get(mem, HEADER_AT) !== 0;
  const deadline = timeoutMs < 0 ? Number.POSITIVE_INFINITY : machine.clock.nowNs() + timeoutMs * 1e6;
  T.deadlineNs.set(mem, task, deadline);
  T.sleepLabel.set(mem, task, machine.intern(label));
  Atomics.store(i32, task + T.sleepAt.at, at);
  let result: WaitResult = WAIT_OK;
  for (;;) {
    if (interruptible && T.signal.load(mem, task) !== 0) {
      result = WAIT_INTERRUPTED;
      break;
    }
    if (manual && machine.clock.nowNs() >= deadline) {
      result = WAIT_TIMED_OUT;
      break;
    }
    const timer = machine.timers.nextNs;
    const slice = manual ? MANUAL_SLICE_MS : timer < deadline ? msUntil(machine, timer) : msUntil(machine, deadline);
    const r = Atomics.wait(i32, at, expected, slice);
    if (r === 'timed-out' && (manual || timer < deadline)) {
      machine.timers.run();
      continue;
    }
    result = r === 'ok' ? WAIT_OK : r === 'not-equal' ? WAIT_NOT_EQUAL : WAIT_TIMED_OUT;
    break;
  }
  Atomics.store(i32, task + T.sleepAt.at, 0);
  Atomics.add(i32, task + T.sleepSeq.at, 1);
  syncPoint('futex.woken', at);
  if (interruptible && result === WAIT_OK && T.signal.load(mem, task) !== 0) return WAIT_INTERRUPTED;
  return result;
}

/** Real milliseconds until a time of the machine's clock. */
function msUntil(machine: Machine, ns: number): number {
  return ns === Number.POSITIVE_INFINITY ? ns : Math.max(0, (ns - machine.clock.nowNs()) / 1e6);
}

/** Wakes up to `count` tasks that sleep on the word at `at` (all by default); returns how many. */
export function futexWake(machine: Machine, at: number, count: number = Number.POSITIVE_INFINITY): number {
  syncPoint('futex.wake', at);
  return Atomics.notify(machine.mem.i32, at, count);
}

/**
 * Makes the task at word `task` look again at its signal, deadline or lock: repeats the notify until the sleep it is in has
 * ended, which closes the gap between a sleeper's last check and its sleep.
 */
export function kick(machine: Machine, task: number): void {
  const { i32 } = machine.mem;
  const seq = Atomics.load(i32, task + T.sleepSeq.at);
  for (let turn = 0; turn < 200_000; turn++) {
    const at = Atomics.load(i32, task + T.sleepAt.at);
    if (at === 0 || Atomics.load(i32, task + T.sleepSeq.at) !== seq) return;
    Atomics.notify(i32, at);
  }
}

let pending = 0;
/** Keeps the event loop alive while it is ref'd, which is while something is pending. */
let keepAlive: ReturnType<typeof setInterval> | undefined;

/**
 * The wait for an event loop: resolves when the word changed or was notified. Keeps the process alive while it is pending.
 * @param timeoutMs real milliseconds; {@link FOREVER} for none.
 */
export async function futexWaitAsync(
  machine: Machine,
  at: number,
  expected: number,
  timeoutMs: number,
  label: string,
): Promise<WaitResult> {
  syncPoint(label, at);
  const end = timeoutMs < 0 ? Number.POSITIVE_INFINITY : performance.now() + timeoutMs;
  for (;;) {
    const left = Math.max(0, end - performance.now());
    const slice = Math.min(left, machine.clock.manual ? left : msUntil(machine, machine.timers.nextNs));
    const waiting = Atomics.waitAsync(machine.mem.i32, at, expected, slice);
    const value = waiting.async ? await keptAlive(waiting.value) : waiting.value;
    if (value !== 'timed-out') return value === 'ok' ? WAIT_OK : WAIT_NOT_EQUAL;
    if (slice === left) return WAIT_TIMED_OUT;
    machine.timers.run();
  }
}

/** Waits for `promise` and keeps the process alive meanwhile. */
async function keptAlive<T>(promise: Promise<T>): Promise<T> {
  keepAlive ??= setInterval(() => {}, 2 ** 30);
  if (pending++ === 0) keepAlive.ref();
  const value = await promise;
  if (--pending === 0) keepAlive.unref();
  return value;
}
