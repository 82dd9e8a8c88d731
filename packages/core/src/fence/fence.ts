import type { ErrnoName, Machine } from '@dmabuf-emu/shm';
import type { FenceCallback } from './callback.ts';
import {
  fenceAddCallback,
  fenceCheckAndSignal,
  fenceDescribe,
  fenceEnableSignaling,
  fenceGet,
  fenceGetStatus,
  fenceGetStub,
  fenceIsContainer,
  fenceIsLater,
  fenceIsLaterOrSame,
  fenceIsSignaled,
  fencePut,
  fenceRemoveCallback,
  fenceSetDeadline,
  fenceSetError,
  fenceSignal,
  fenceTestSignaledFlag,
  fenceTimestamp,
  fenceTryGet,
  fenceWait,
  fenceWaitAsync,
  type FenceWaitOptions,
} from './functions.ts';
import { create, type FenceInit } from './internal/create.ts';
import { FenceStruct as F, OPS_MASK, OWNER, SEQNO64, STATE } from './internal/layout.ts';
import { driverName, timelineName } from './internal/names.ts';
import { FenceTable } from './internal/table.ts';
import { tableOf } from './internal/table-of.ts';
import type { FenceOps } from './ops.ts';
import { SignalRight } from './signal-right.ts';

/**
 * Something that will be finished in finite time, and that anybody may wait for. A handle: cheap, of one thread, without a
 * reference of its own; take one with {@link get} before keeping it. The right to signal is apart: {@link SignalRight}.
 * @kernel dma_fence
 */
export class Fence {
  static {
    FenceTable.makeFence = (machine, ref) => new Fence(machine, ref);
  }

  readonly machine: Machine;
  readonly ref: number;

  private constructor(machine: Machine, ref: number) {
    this.machine = machine;
    this.ref = ref;
  }

  /**
   * Makes a fence that the calling task has the right to signal. The right owns its one reference.
   * @throws KernelError ENOMEM; KernelBug when the driver lacks a name operation.
   * @kernel dma_fence_init, dma_fence_init64
   */
  static create(machine: Machine, init: FenceInit): SignalRight {
    const t = tableOf(machine);
    const ref = create(t, init);
    t.mem.i32[t.slab.at(ref) + OWNER] = machine.tid;
    return new SignalRight(new Fence(machine, ref));
  }

  /** The handle of a fence that somebody has a reference to. */
  static of(machine: Machine, ref: number): Fence {
    return new Fence(machine, ref);
  }

  /** The handle of a fence with a reference, unless that has gone already. @kernel dma_fence_get_rcu */
  static tryGet(machine: Machine, ref: number): Fence | undefined {
    return fenceTryGet(machine, ref) ? new Fence(machine, ref) : undefined;
  }

  /** A reference to the fence that has always been signalled. @kernel dma_fence_get_stub */
  static stub(machine: Machine): Fence {
    return new Fence(machine, fenceGetStub(machine));
  }

  get context(): number {
    return F.context.get(this.machine.mem, this.#p) >>> 0;
  }

  get seqno(): number {
    return F.seqno.get(this.machine.mem, this.#p);
  }

  /** Seqnos of its context compare in full, not modulo 2^32. */
  get seqno64(): boolean {
    return (F.state.load(this.machine.mem, this.#p) & SEQNO64) !== 0;
  }

  /** The issuer's word. */
  get priv(): number {
    return F.priv.get(this.machine.mem, this.#p);
  }

  set priv(value: number) {
    F.priv.set(this.machine.mem, this.#p, value);
  }

  /** The flag, else what the driver says; a yes of the driver signals. @kernel dma_fence_is_signaled */
  isSignaled(): boolean {
    return fenceIsSignaled(this.machine, this.ref);
  }

  /** Whether the flag is set; asks nobody. @kernel dma_fence_test_signaled_flag */
  signaledFlag(): boolean {
    return fenceTestSignaledFlag(this.machine, this.ref);
  }

  /** 0 while active, then 1, or the negative error. @kernel dma_fence_get_status */
  status(): number {
    return fenceGetStatus(this.machine, this.ref);
  }

  /** For the issuer, before it signals. @kernel dma_fence_set_error */
  setError(error: ErrnoName | number): void {
    fenceSetError(this.machine, this.ref, error);
  }

  /** For drivers whose fences anybody may end, and for tests: signals without the right to. @kernel dma_fence_signal */
  signalUnowned(timestampNs?: number): void {
    fenceSignal(this.machine, this.ref, timestampNs);
  }

  /** {@link signalUnowned} that tells whether it was signalled already. @kernel dma_fence_check_and_signal */
  checkAndSignal(): boolean {
    return fenceCheckAndSignal(this.machine, this.ref);
  }

  /** Waits: see {@link fenceWait}. @kernel dma_fence_wait_timeout @throws KernelError ERESTARTSYS, EINVAL */
  wait(options?: FenceWaitOptions): number {
    return fenceWait(this.machine, this.ref, options);
  }

  /** {@link wait} for an event loop; holds a reference and keeps the process alive meanwhile. */
  waitAsync({ timeoutMs }: { timeoutMs?: number } = {}): Promise<number> {
    return fenceWaitAsync(this.machine, this.ref, timeoutMs);
  }

  /** Has `callback` run once the fence is signalled: see {@link fenceAddCallback}. @kernel dma_fence_add_callback */
  addCallback(callback: FenceCallback | ((fence: Fence) => void)): boolean {
    return fenceAddCallback(this.machine, this.ref, callback);
  }

  /** Takes a callback off; true: it has not run and will not. @kernel dma_fence_remove_callback */
  removeCallback(callback: FenceCallback | ((fence: Fence) => void)): boolean {
    return fenceRemoveCallback(this.machine, this.ref, callback);
  }

  /** @kernel dma_fence_enable_sw_signaling */
  enableSignaling(): void {
    fenceEnableSignaling(this.machine, this.ref);
  }

  /** Takes a reference. @kernel dma_fence_get */
  get(): this {
    fenceGet(this.machine, this.ref);
    return this;
  }

  /** Drops a reference. @kernel dma_fence_put */
  put(): void {
    fencePut(this.machine, this.ref);
  }

  /** `detached-driver` once it is signalled. @kernel dma_fence_driver_name */
  driverName(): string {
    return driverName(tableOf(this.machine), this.ref, this.#p);
  }

  /** `signaled-timeline` once it is signalled. @kernel dma_fence_timeline_name */
  timelineName(): string {
    return timelineName(tableOf(this.machine), this.ref, this.#p);
  }

  /** `context:seqno timeline driver [un]signalled`, newline included. @kernel dma_fence_describe */
  describe(): string {
    return fenceDescribe(this.machine, this.ref);
  }

  /** When it was signalled, in nanoseconds of the machine's clock. @kernel dma_fence_timestamp */
  timestampNs(): number {
    return fenceTimestamp(this.machine, this.ref);
  }

  /** Tells the issuer when it is needed, in nanoseconds of the machine's clock. @kernel dma_fence_set_deadline */
  setDeadline(deadlineNs: number): void {
    fenceSetDeadline(this.machine, this.ref, deadlineNs);
  }

  /** Whether it comes after `other` on their timeline. @kernel dma_fence_is_later */
  isLater(other: Fence): boolean {
    return fenceIsLater(this.machine, this.ref, other.ref);
  }

  /** @kernel dma_fence_is_later_or_same */
  isLaterOrSame(other: Fence): boolean {
    return fenceIsLaterOrSame(this.machine, this.ref, other.ref);
  }

  /** Whether it consists of other fences. @kernel dma_fence_is_container */
  get isContainer(): boolean {
    return fenceIsContainer(this.machine, this.ref);
  }

  /** Whether it was made with these operations. */
  isOf(ops: FenceOps): boolean {
    return (this.machine.mem.i32[this.#p]! & OPS_MASK) === tableOf(this.machine).driverId(ops);
  }

  /** Whether the driver can still be asked anything: not once it is detached by signalling. */
  get hasOps(): boolean {
    const t = tableOf(this.machine);
    return t.liveCaps(this.#p, F.state.load(t.mem, this.#p)) !== 0;
  }

  /** References that exist, for tests and reports. */
  get refCount(): number {
    return this.machine.mem.i32[this.#p + STATE]! >>> 8;
  }

  get #p(): number {
    return tableOf(this.machine).slab.at(this.ref);
  }
}
