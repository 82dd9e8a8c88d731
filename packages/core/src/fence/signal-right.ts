import { atomicLoad, type ErrnoName, KernelError, type Machine, UsageError } from '@dmabuf-emu/shm';
import type { Fence } from './fence.ts';
import { fencePut, fenceSetError, fenceSignal } from './functions.ts';
import { OWNER, SIGNALED, STATE } from './internal/layout.ts';
import { withLock } from './internal/lock.ts';
import { driverForReport } from './internal/names.ts';
import { tableOf } from './internal/table-of.ts';

/**
 * The right to signal one fence, and a reference to it; {@link signal} uses both up. It has one owner: the task that made it,
 * or the one that {@link adopt}ed it. When it is dropped unsignalled, or its owner leaves or dies, the fence ends with
 * ECANCELED, so nobody waits for ever. Allocation is over when it exists: nothing here can fail.
 */
export class SignalRight implements Disposable {
  /** The fence, for everybody to watch. Whoever looks at it after the right is used up needs a reference: `fence.get()`. */
  readonly fence: Fence;
  #state: 'owned' | 'signalled' | 'dropped' | 'handed-over' = 'owned';

  /** Use {@link Fence.create} or {@link adopt}. */
  constructor(fence: Fence) {
    this.fence = fence;
  }

  /**
   * Takes over, on the calling thread, a right that another one gave up with {@link handOver}.
   * @throws KernelError EALREADY when nobody has a right to signal this fence.
   */
  static adopt(machine: Machine, fenceRef: number): SignalRight {
    const t = tableOf(machine);
    const p = t.slab.at(fenceRef);
    const adopted = withLock(t, p, () => {
      if ((atomicLoad(t.mem, p + STATE) & SIGNALED) !== 0) return true;
      if (t.mem.i32[p + OWNER] === 0) return false;
      t.mem.i32[p + OWNER] = machine.tid;
      return true;
    });
    if (!adopted) throw new KernelError('EALREADY', 'SignalRight.adopt', 'nobody has a right to signal this fence');
    return new SignalRight(t.fence(fenceRef));
  }

  /** Sets the error that the fence ends with; before {@link signal}. @kernel dma_fence_set_error */
  setError(error: ErrnoName): void {
    if (this.#isOwned('dma_fence_set_error')) fenceSetError(this.fence.machine, this.fence.ref, error);
  }

  /**
   * Ends the fence and drops the right's reference. Doing it again, or with a right that is not this task's any more, is a
   * violation (`fence-signalled-twice`, `fence-right-lost`) and does nothing.
   * @param timestampNs when it happened, now by default.
   * @kernel dma_fence_signal, dma_fence_put
   */
  signal(timestampNs?: number): void {
    if (!this.#isOwned('dma_fence_signal')) return;
    this.#state = 'signalled';
    const { machine, ref } = this.fence;
    fenceSignal(machine, ref, timestampNs);
    fencePut(machine, ref);
  }

  /**
   * Gives the right up for another thread to {@link adopt}; this object is void from now on. Until then the calling task
   * stays its owner: when it leaves or dies before, the fence is cancelled.
   * @returns the fence's ref, to pass on.
   * @throws UsageError when the right is used up.
   */
  handOver(): number {
    if (this.#state !== 'owned') throw new UsageError(`a right that was ${this.#state} cannot be handed over`);
    this.#state = 'handed-over';
    return this.fence.ref;
  }

  /** Gives the right back unused: the fence ends with ECANCELED. Does nothing when the right is used up. */
  drop(): void {
    if (this.#state !== 'owned') return;
    this.#state = 'dropped';
    const { machine, ref } = this.fence;
    if (!this.fence.signaledFlag()) {
      fenceSetError(machine, ref, 'ECANCELED');
      fenceSignal(machine, ref);
    }
    fencePut(machine, ref);
  }

  [Symbol.dispose](): void {
    this.drop();
  }

  /** Reports the use of a right that is not there any more. */
  #isOwned(step: string): boolean {
    const { machine, ref } = this.fence;
    if (this.#state === 'owned') {
      const t = tableOf(machine);
      const p = t.slab.at(ref);
      const owner = t.mem.i32[p + OWNER]!;
      if (owner === machine.tid || (atomicLoad(t.mem, p + STATE) & SIGNALED) !== 0) return true;
      this.#state = 'handed-over';
    }
    const rule = this.#state === 'signalled' ? 'fence-signalled-twice' : 'fence-right-lost';
    const importer = driverForReport(tableOf(machine), ref);
    const text = `fence #${ref >>> 0} of ${importer ?? 'a driver that is not known any more'}: the right to signal it was ${this.#state}`;
    machine.diag.violation({ rule, text, step, ...(importer === undefined ? {} : { importer }) });
    return false;
  }
}
