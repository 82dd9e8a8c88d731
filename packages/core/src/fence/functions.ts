import { type ErrnoName, KernelError, type Machine, TaskKilled } from '@dmabuf-emu/shm';
import { FenceCallback } from './callback.ts';
import type { Fence } from './fence.ts';
import { enter, makeClosure } from './internal/closures.ts';
import { create, type FenceInit, privateStub, stub } from './internal/create.ts';
import { setError } from './internal/error.ts';
import { CAP_CONTAINER, MAX_ERRNO, REF_SHIFT, SIGNALED, STATE } from './internal/layout.ts';
import { takeClosure } from './internal/mailbox.ts';
import { contextAlloc, isLater, laterOf } from './internal/order.ts';
import { enable, isSignaled, testFlag } from './internal/poll.ts';
import { getFence, getFenceAt, putFence, tryGetFence } from './internal/refs.ts';
import { addCallback, removeCallback } from './internal/register.ts';
import { signal, signalPlain } from './internal/signal.ts';
import { describe, setDeadline, status, timestamp } from './internal/status.ts';
import { tableOf } from './internal/table-of.ts';
import { wait, waitAsync } from './internal/wait.ts';
import { waitAny, type WaitAnyResult } from './internal/wait-any.ts';

/*
 * The kernel's functions over fence refs, for code that keeps refs in the arena. Class Fence offers the same over handles.
 */

/** How to wait for a fence. */
export interface FenceWaitOptions {
  /** On the machine's clock; none by default. */
  readonly timeoutMs?: number;
  /** End with ERESTARTSYS when the task has a signal pending. */
  readonly interruptible?: boolean;
}

/**
 * Makes this thread take part in what fences need beyond single calls: cleaning up for tasks that die or leave, and the
 * machine's check. Any other call of this room does the same.
 */
export function installFences(machine: Machine): void {
  tableOf(machine);
}

/** The first of `count` fresh context numbers, from 1. @kernel dma_fence_context_alloc */
export function fenceContextAlloc(machine: Machine, count = 1): number {
  return contextAlloc(tableOf(machine), count);
}

/** A fence with one reference, without a right to signal. @kernel dma_fence_init @throws KernelError ENOMEM */
export function fenceCreate(machine: Machine, init: FenceInit): number {
  return create(tableOf(machine), init);
}

/** Whether it is a fence and not one in the making; null is allowed. @kernel dma_fence_was_initialized */
export function fenceWasInitialized(machine: Machine, ref: number): boolean {
  const t = tableOf(machine);
  const p = t.slab.tryAt(ref);
  return p !== 0 && t.mem.i32[p + STATE]! >>> REF_SHIFT !== 0;
}

/** Takes a reference; null is allowed. @kernel dma_fence_get */
export function fenceGet(machine: Machine, ref: number): number {
  if (ref !== 0) getFence(tableOf(machine), ref);
  return ref;
}

/** Drops a reference; null is allowed. @kernel dma_fence_put */
export function fencePut(machine: Machine, ref: number): void {
  if (ref !== 0) putFence(tableOf(machine), ref);
}

/** Takes a reference unless the last one is gone already; tells whether it did. @kernel dma_fence_get_rcu */
export function fenceTryGet(machine: Machine, ref: number): boolean {
  return ref !== 0 && tryGetFence(tableOf(machine), ref) !== 0;
}

/** Takes a reference on whatever fence the shared word `at` names, 0 for none. @kernel dma_fence_get_rcu_safe */
export function fenceGetRcuSafe(machine: Machine, at: number): number {
  return getFenceAt(tableOf(machine), at);
}

/** Signals; a second time does nothing, null is a WARN. @kernel dma_fence_signal, dma_fence_signal_timestamp */
export function fenceSignal(machine: Machine, ref: number, timestampNs?: number): void {
  const t = tableOf(machine);
  if (ref === 0) t.machine.diag.warn('fence-null', 'dma_fence_signal of a null fence');
  else if (!signalPlain(t, ref, timestampNs)) signal(t, ref, t.slab.at(ref), timestampNs);
}

/** Signals; tells whether it was signalled already. @kernel dma_fence_check_and_signal */
export function fenceCheckAndSignal(machine: Machine, ref: number): boolean {
  const t = tableOf(machine);
  return signal(t, ref, t.slab.at(ref));
}

/** The flag, else what the driver says; a yes of the driver signals. @kernel dma_fence_is_signaled */
export function fenceIsSignaled(machine: Machine, ref: number): boolean {
  const t = tableOf(machine);
  enter(t);
  return isSignaled(t, ref, t.slab.at(ref));
}

/** The flag alone. @kernel dma_fence_test_signaled_flag */
export function fenceTestSignaledFlag(machine: Machine, ref: number): boolean {
  return (tableOf(machine).slab.load(ref, STATE) & SIGNALED) !== 0;
}

/** Asks the driver to see to it that the fence gets signalled. @kernel dma_fence_enable_sw_signaling, dma_fence_enable_signaling */
export function fenceEnableSignaling(machine: Machine, ref: number): void {
  const t = tableOf(machine);
  enable(t, ref, t.slab.at(ref));
}

/**
 * Has `callback` run when the fence is signalled; false, and it never runs, when that is the case already.
 *
 * A {@link FenceCallback} runs in the signaller's thread, in order. A plain function runs there too when that is the calling
 * thread, otherwise in the calling thread: when it next enters a fence function without locks, or in its event loop, which
 * is kept alive for it.
 * @throws KernelError ENOMEM for a function; EINVAL after a WARN for null and for a callback that is on a fence already.
 * @kernel dma_fence_add_callback
 */
export function fenceAddCallback(
  machine: Machine,
  ref: number,
  callback: FenceCallback | ((fence: Fence) => void),
): boolean {
  const t = tableOf(machine);
  if (ref === 0 || callback === undefined || callback === null) refuseNull(machine, ref);
  enter(t);
  const p = t.slab.at(ref);
  if (callback instanceof FenceCallback) return addCallback(t, ref, p, callback.ref);
  if (testFlag(t, p)) return false;
  const cb = makeClosure(t, ref, callback);
  const added = addCallback(t, ref, p, cb);
  if (!added) takeClosure(t, cb);
  return added;
}

function refuseNull(machine: Machine, ref: number): never {
  const what = ref === 0 ? 'a null fence' : 'no callback';
  machine.diag.warn('fence-null', `dma_fence_add_callback with ${what}`);
  throw new KernelError('EINVAL', 'dma_fence_add_callback', `needs a fence and a callback, got ${what}`);
}

/** Takes a callback off; true: it has not run and will not. @kernel dma_fence_remove_callback */
export function fenceRemoveCallback(
  machine: Machine,
  ref: number,
  callback: FenceCallback | ((fence: Fence) => void),
): boolean {
  const t = tableOf(machine);
  const p = t.slab.at(ref);
  if (callback instanceof FenceCallback) return removeCallback(t, ref, p, callback.ref);
  for (const [cb, closure] of t.closures) {
    if (closure.fence !== ref || closure.fn !== callback) continue;
    if (removeCallback(t, ref, p, cb)) takeClosure(t, cb);
    else t.closures.set(cb, { fence: ref, fn: () => {} });
    return true;
  }
  return false;
}

/** Runs the functions whose fences other tasks signalled, if the calling task holds no lock. */
export function drainCallbacks(machine: Machine): void {
  enter(tableOf(machine));
}

/** 0 while active, then a negative error or 1. @kernel dma_fence_get_status */
export function fenceGetStatus(machine: Machine, ref: number): number {
  const t = tableOf(machine);
  enter(t);
  return status(t, ref, t.slab.at(ref));
}

/**
 * Stores the error that the status will show; before signalling.
 * WARNs when it is signalled already (and stores), or for a number that is not -4095 to -1 (and ignores it).
 * @kernel dma_fence_set_error
 */
export function fenceSetError(machine: Machine, ref: number, error: ErrnoName | number): void {
  const t = tableOf(machine);
  const p = t.slab.at(ref);
  if (testFlag(t, p)) machine.diag.warn('fence-error-late', `dma_fence_set_error(${error}) on a signalled fence`);
  if (typeof error === 'number' && !(error < 0 && error >= -MAX_ERRNO)) {
    machine.diag.warn('fence-error-range', `dma_fence_set_error(${error}): errors are -${MAX_ERRNO} to -1`);
  }
  setError(t, p, error);
}

/** When it was signalled, on the machine's clock; WARNs and says now when it was not. @kernel dma_fence_timestamp */
export function fenceTimestamp(machine: Machine, ref: number): number {
  const t = tableOf(machine);
  return timestamp(t, t.slab.at(ref));
}

/**
 * Waits.
 * @returns what is left of the timeout in whole milliseconds (Infinity without one), 0 when it passed first, 1 for a
 *   signalled fence and a timeout of 0.
 * @throws KernelError ERESTARTSYS when `interruptible` and a signal is pending; EINVAL after a WARN for a negative timeout.
 * @kernel dma_fence_wait_timeout, dma_fence_wait
 */
export function fenceWait(machine: Machine, ref: number, options: FenceWaitOptions = {}): number {
  const t = tableOf(machine);
  enter(t);
  return wait(t, ref, t.slab.at(ref), options.interruptible ?? false, options.timeoutMs ?? Number.POSITIVE_INFINITY);
}

/** {@link fenceWait} for an event loop: keeps the process alive, and a reference, until it resolves. Not interruptible. */
export async function fenceWaitAsync(
  machine: Machine,
  ref: number,
  timeoutMs: number = Number.POSITIVE_INFINITY,
): Promise<number> {
  const t = tableOf(machine);
  enter(t);
  getFence(t, ref);
  let left = 0;
  try {
    left = await waitAsync(t, ref, t.slab.at(ref), timeoutMs);
  } catch (error) {
    if (!(error instanceof TaskKilled)) putFence(t, ref);
    throw error;
  }
  putFence(t, ref);
  return left;
}

/** Waits for the first of several fences. @kernel dma_fence_wait_any_timeout @throws KernelError EINVAL, ENOMEM, ERESTARTSYS */
export function fenceWaitAny(machine: Machine, refs: readonly number[], options: FenceWaitOptions = {}): WaitAnyResult {
  const t = tableOf(machine);
  enter(t);
  return waitAny(t, refs, options.interruptible ?? false, options.timeoutMs ?? Number.POSITIVE_INFINITY);
}

/** Tells the issuer when, on the machine's clock, the fence is needed. @kernel dma_fence_set_deadline */
export function fenceSetDeadline(machine: Machine, ref: number, deadlineNs: number): void {
  const t = tableOf(machine);
  setDeadline(t, ref, t.slab.at(ref), deadlineNs);
}

/** `context:seqno timeline driver [un]signalled\n`. @kernel dma_fence_describe */
export function fenceDescribe(machine: Machine, ref: number): string {
  const t = tableOf(machine);
  return describe(t, ref, t.slab.at(ref));
}

/** Whether `a` comes after `b` on their timeline; WARNs and says no when they have none in common. @kernel dma_fence_is_later */
export function fenceIsLater(machine: Machine, a: number, b: number): boolean {
  const t = tableOf(machine);
  return isLater(t, t.slab.at(a), t.slab.at(b));
}

/** @kernel dma_fence_is_later_or_same */
export function fenceIsLaterOrSame(machine: Machine, a: number, b: number): boolean {
  return a === b || fenceIsLater(machine, a, b);
}

/** The later of two fences of a context, without a reference; 0 when that one is signalled. @kernel dma_fence_later */
export function fenceLater(machine: Machine, a: number, b: number): number {
  return laterOf(tableOf(machine), a, b);
}

/** Whether it consists of other fences (array, chain). @kernel dma_fence_is_container */
export function fenceIsContainer(machine: Machine, ref: number): boolean {
  const t = tableOf(machine);
  return (t.caps(t.slab.at(ref)) & CAP_CONTAINER) !== 0;
}

/** A reference to the fence that has always been signalled. @kernel dma_fence_get_stub */
export function fenceGetStub(machine: Machine): number {
  const t = tableOf(machine);
  return fenceGet(machine, stub(t));
}

/** A fresh signalled fence. @kernel dma_fence_allocate_private_stub @throws KernelError ENOMEM */
export function fencePrivateStub(machine: Machine, timestampNs: number): number {
  return privateStub(tableOf(machine), timestampNs);
}

/**
 * Declares that a subsystem keeps references to fences in the arena, so that the machine's check can tell them from leaks.
 * @param enumerate calls its argument once for each such reference.
 */
export function noteFenceHolder(
  machine: Machine,
  name: string,
  enumerate: (hold: (ref: number) => void) => void,
): void {
  tableOf(machine).holders.set(name, enumerate);
}

/**
 * Declares that a subsystem keeps callbacks in the arena (on a fence or not), so that the machine's check can tell them from
 * leaks. @param enumerate calls its argument once for each such callback's ref.
 */
export function noteCallbackHolder(
  machine: Machine,
  name: string,
  enumerate: (own: (callback: number) => void) => void,
): void {
  tableOf(machine).callbackHolders.set(name, enumerate);
}
