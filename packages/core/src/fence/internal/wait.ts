import { atomicLoad, atomicOr, bitSpinDepth, FOREVER, KernelError } from '@dmabuf-emu/shm';
import { CAP_WAIT, SIGNALED, STATE, WAITERS } from './layout.ts';
import { enable } from './poll.ts';
import type { FenceTable } from './table.ts';

/** What a task that waits for a fence is shown to wait for. */
const LABEL = 'dma_fence';
/** An event loop looks at a clock that is driven by hand this often. */
const MANUAL_SLICE_MS = 20;

/** Refuses a timeout below 0 with a WARN. @throws KernelError EINVAL */
export function checkTimeout(t: FenceTable, call: string, timeoutMs: number): void {
  if (timeoutMs >= 0) return;
  t.machine.diag.warn('fence-timeout', `${call}: the timeout must not be below 0, got ${timeoutMs}`);
  throw new KernelError('EINVAL', call, `the timeout must not be below 0, got ${timeoutMs}`);
}

/**
 * Reports a task that is about to wait for a fence where it must not: with a fence's lock held, or on the way to signal one.
 * @kernel might_sleep, __dma_fence_might_wait
 */
export function mightSleep(t: FenceTable, call: string): void {
  if (t.signalling) t.machine.diag.lockdep('fence-critical', `${call} in a section that other fences wait for`);
  if (bitSpinDepth(t.machine) > 0)
    t.machine.diag.lockdep('sleep-in-atomic', `${call} may sleep, called with a spin lock held`);
}

/**
 * Waits for the fence.
 * @param timeoutMs on the machine's clock, Infinity for none.
 * @returns what is left of the timeout in whole milliseconds, at least 1; 0 when it passed first.
 * @throws KernelError EINVAL after a WARN for a negative timeout; ERESTARTSYS when `interruptible` and a signal is pending.
 * @kernel dma_fence_wait_timeout
 */
export function wait(t: FenceTable, ref: number, p: number, interruptible: boolean, timeoutMs: number): number {
  checkTimeout(t, 'dma_fence_wait_timeout', timeoutMs);
  mightSleep(t, 'dma_fence_wait_timeout');
  enable(t, ref, p);
  t.trace('dma_fence_wait_start', ref, p);
  const custom = (t.liveCaps(p, atomicLoad(t.mem, p + STATE)) & CAP_WAIT) !== 0;
  const left = custom
    ? t.driver(p).wait!(t.fence(ref), interruptible, timeoutMs)
    : defaultWait(t, ref, p, interruptible, timeoutMs);
  if (t.slab.tryAt(ref) !== 0) t.trace('dma_fence_wait_end', ref, p);
  return left;
}

/** The wait of drivers that have none of their own. @kernel dma_fence_default_wait */
export function defaultWait(t: FenceTable, ref: number, p: number, interruptible: boolean, timeoutMs: number): number {
  const { machine, mem } = t;
  const at = p + STATE;
  if ((atomicLoad(mem, at) & SIGNALED) !== 0) return timeoutMs === 0 ? 1 : timeoutMs;
  if (interruptible && machine.signalPending) throw interrupted('dma_fence_wait_timeout');
  if (timeoutMs === 0) return 0;
  const end = timeoutMs === Number.POSITIVE_INFINITY ? timeoutMs : machine.clock.nowMs() + timeoutMs;
  for (;;) {
    if (!machine.spin.whileClear(mem, at, SIGNALED)) sleep(t, at, interruptible, end);
    const left = remaining(t, end);
    if (left === 0) return 0;
    if (interruptible && machine.signalPending) throw interrupted('dma_fence_wait_timeout');
    // A fence whose last reference went while we slept has been ended; its memory may serve another one now.
    if ((atomicLoad(mem, at) & SIGNALED) !== 0 || t.slab.tryAt(ref) === 0) return left;
  }
}

/** What is left until `endMs`, in whole milliseconds; 0 from then on. */
export function remaining(t: FenceTable, endMs: number): number {
  if (endMs === Number.POSITIVE_INFINITY) return endMs;
  return Math.max(0, Math.ceil(endMs - t.machine.clock.nowMs()));
}

export function interrupted(call: string): KernelError {
  return new KernelError('ERESTARTSYS', call, 'a signal is pending');
}

function sleep(t: FenceTable, at: number, interruptible: boolean, endMs: number): void {
  const { machine, mem } = t;
  const v = atomicOr(mem, at, WAITERS) | WAITERS;
  if ((v & SIGNALED) !== 0) return;
  const left = endMs === Number.POSITIVE_INFINITY ? FOREVER : Math.max(0, endMs - machine.clock.nowMs());
  machine.wait(at, v, LABEL, left, interruptible);
}

/** {@link wait} for an event loop; keeps the process alive meanwhile. The caller keeps a reference. */
export async function waitAsync(t: FenceTable, ref: number, p: number, timeoutMs: number): Promise<number> {
  checkTimeout(t, 'dma_fence_wait_timeout', timeoutMs);
  const { machine, mem } = t;
  const at = p + STATE;
  enable(t, ref, p);
  if ((atomicLoad(mem, at) & SIGNALED) !== 0) return timeoutMs === 0 ? 1 : timeoutMs;
  const end = timeoutMs === Number.POSITIVE_INFINITY ? timeoutMs : machine.clock.nowMs() + timeoutMs;
  for (let left = timeoutMs; left > 0; left = remaining(t, end)) {
    const v = atomicOr(mem, at, WAITERS) | WAITERS;
    if ((v & SIGNALED) !== 0) return left;
    const slice = machine.clock.manual ? Math.min(left, MANUAL_SLICE_MS) : left;
    await machine.waitAsync(at, v, LABEL, slice === Number.POSITIVE_INFINITY ? FOREVER : slice);
    if ((atomicLoad(mem, at) & SIGNALED) !== 0) return Math.max(1, remaining(t, end));
  }
  return 0;
}
