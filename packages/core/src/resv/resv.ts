import {
  KernelError,
  type Machine,
  RESERVATION_WW_CLASS,
  TaskKilled,
  type WwAcquireCtx,
  type WwMutex,
  wwMutexOf,
} from '@dmabuf-emu/shm';
import { Fence } from '../fence/fence.ts';
import { enter } from '../fence/internal/closures.ts';
import type { FenceTable } from '../fence/internal/table.ts';
import { ResvCursor } from './cursor.ts';
import { ResvStruct as R } from './internal/layout.ts';
import { freeList } from './internal/list.ts';
import {
  copyFences,
  describeAll,
  forEach,
  getFences,
  getSingleton,
  setDeadlines,
  testSignaled,
  waitFences,
} from './internal/read.ts';
import { ResvLockedCursor } from './locked-cursor.ts';
import { resvTableOf } from './internal/table.ts';
import { add, replace, reserve, resetReservation } from './internal/write.ts';
import type { ResvUsage } from './usage.ts';

/** How to wait for the fences of a reservation object. */
export interface ResvWaitOptions {
  /** For all of them together, on the machine's clock; none by default. */
  readonly timeoutMs?: number;
  /** End with ERESTARTSYS when the task has a signal pending. */
  readonly interruptible?: boolean;
}

/**
 * Who uses a piece of memory: fences by class of use, and the lock that all users of the memory share. A handle.
 * Adding needs the lock; looking and waiting do not.
 * @kernel dma_resv
 */
export class Resv {
  readonly machine: Machine;
  readonly ref: number;
  readonly #p: number;
  readonly #lock: WwMutex;
  readonly #fences: FenceTable;

  private constructor(machine: Machine, ref: number) {
    this.machine = machine;
    this.ref = ref;
    const t = resvTableOf(machine);
    this.#p = t.slab.at(ref);
    this.#fences = t.fences;
    this.#lock = wwMutexOf(machine, this.#p, R.lock);
  }

  /** An empty, unlocked one; end it with {@link destroy}. @kernel dma_resv_init @throws KernelError ENOMEM */
  static create(machine: Machine, site = 'dma_resv_init'): Resv {
    return new Resv(machine, resvTableOf(machine).slab.alloc(site));
  }

  static of(machine: Machine, ref: number): Resv {
    return new Resv(machine, ref);
  }

  /** Drops all fences and ends it; nobody else may use it any more. @kernel dma_resv_fini */
  destroy(): void {
    const t = resvTableOf(this.machine);
    if (this.isLocked && !this.ownerDead)
      this.machine.diag.lockdep('destroy-locked', 'dma_resv_fini of a locked reservation object');
    freeList(t, R.list.get(t.mem, this.#p));
    t.slab.free(this.ref, 'dma_resv_fini');
  }

  /**
   * Takes the lock. @kernel dma_resv_lock
   * @throws KernelError EDEADLK, EALREADY with a context; EOWNERDEAD when its owner died.
   */
  lock(ctx?: WwAcquireCtx): void {
    this.#checkLock('dma_resv_lock', ctx);
    this.#lock.lock(ctx);
  }

  /** @kernel dma_resv_lock_interruptible @throws KernelError as {@link lock}, and EINTR. */
  lockInterruptible(ctx?: WwAcquireCtx): void {
    this.#checkLock('dma_resv_lock_interruptible', ctx);
    this.#lock.lockInterruptible(ctx);
  }

  /** After EDEADLK on this one, with no lock of `ctx` held. @kernel dma_resv_lock_slow */
  lockSlow(ctx: WwAcquireCtx): void {
    this.#checkLock('dma_resv_lock_slow', ctx);
    this.#lock.lockSlow(ctx);
  }

  /** @kernel dma_resv_lock_slow_interruptible @throws KernelError EINTR */
  lockSlowInterruptible(ctx: WwAcquireCtx): void {
    this.#checkLock('dma_resv_lock_slow_interruptible', ctx);
    this.#lock.lockSlowInterruptible(ctx);
  }

  /** @kernel dma_resv_trylock */
  tryLock(): boolean {
    return this.#lock.tryLock();
  }

  /** Drops the lock; with lock validation on, room that was reserved and not used is lost. @kernel dma_resv_unlock */
  unlock(): void {
    if (this.machine.lockdep.enabled && this.heldByMe) resetReservation(resvTableOf(this.machine), this.#p);
    this.#lock.unlock();
  }

  /** Runs `fn` with the lock held. */
  with<T>(fn: () => T): T {
    this.lock();
    let result: T;
    try {
      result = fn();
    } catch (error) {
      if (error instanceof TaskKilled) throw error;
      this.unlock();
      throw error;
    }
    this.unlock();
    return result;
  }

  /** @kernel dma_resv_is_locked */
  get isLocked(): boolean {
    return this.#lock.isLocked;
  }

  /** @kernel dma_resv_held */
  get heldByMe(): boolean {
    return this.#lock.heldByMe;
  }

  /** Whether the lock's owner died inside the kernel: nobody gets it any more. */
  get ownerDead(): boolean {
    return this.#lock.ownerDead;
  }

  /** Word of the context that holds the lock, 0 for none. @kernel dma_resv_locking_ctx */
  get lockingCtx(): number {
    return this.#lock.lockingCtx;
  }

  /** Reports a lockdep diagnostic when the calling task does not hold the lock; tells which. @kernel dma_resv_assert_held */
  assertHeld(where: string): boolean {
    return this.#lock.assertHeld(where);
  }

  /**
   * Makes room for `count` fences, so that adding that many cannot fail until the lock is dropped.
   * @locks held
   * @throws KernelError EINVAL for less than 1 (WARN); ENOMEM, with nothing changed.
   * @kernel dma_resv_reserve_fences
   */
  reserveFences(count: number): void {
    this.#requireHeld('dma_resv_reserve_fences');
    reserve(resvTableOf(this.machine), this.#p, count);
  }

  /**
   * Adds a fence with a reference of its own, in reserved room. It takes the place of the first fence that it supersedes
   * (same context, not a stronger class, not later) or that is signalled.
   * @locks held
   * @throws KernelBug when there is no room.
   * @kernel dma_resv_add_fence
   */
  addFence(fence: Fence, usage: ResvUsage): void {
    this.#requireHeld('dma_resv_add_fence');
    add(resvTableOf(this.machine), this.#p, fence.ref, usage);
  }

  /**
   * Puts `replacement` in place of every fence of `context`. The operation that those stand for must be unable to touch the
   * memory once `replacement` is signalled.
   * @locks held
   * @kernel dma_resv_replace_fences
   */
  replaceFences(context: number, replacement: Fence, usage: ResvUsage): void {
    this.#requireHeld('dma_resv_replace_fences');
    replace(resvTableOf(this.machine), this.#p, context, replacement.ref, usage);
  }

  /**
   * Takes over all unsignalled fences of `source`, in place of what was here.
   * @locks held; that of `source` is not needed.
   * @throws KernelError ENOMEM, with nothing changed.
   * @kernel dma_resv_copy_fences
   */
  copyFences(source: Resv): void {
    this.#requireHeld('dma_resv_copy_fences');
    copyFences(resvTableOf(this.machine), this.#p, source.ref);
  }

  /**
   * Visits the fences of a class and stronger in slot order, signalled ones too.
   * @locks held
   * @kernel dma_resv_for_each_fence
   */
  forEach(usage: ResvUsage, visit: (fence: Fence, usage: ResvUsage) => void): void {
    this.#requireHeld('dma_resv_for_each_fence');
    forEach(resvTableOf(this.machine), this.#p, usage, (ref, own) => visit(Fence.of(this.machine, ref), own));
  }

  /** Walks the fences of a class and stronger with the lock held; see {@link ResvLockedCursor}. @kernel dma_resv_for_each_fence */
  locked(usage: ResvUsage): ResvLockedCursor {
    return new ResvLockedCursor(this.machine, this.ref, usage);
  }

  /** Walks the unsignalled fences of a class and stronger; see {@link ResvCursor}. @kernel dma_resv_iter_begin */
  unlocked(usage: ResvUsage): ResvCursor {
    enter(resvTableOf(this.machine).fences);
    return new ResvCursor(this.machine, this.ref, usage);
  }

  /**
   * Waits for the fences of a class and stronger.
   * @returns what is left of the timeout in milliseconds (Infinity without one), 0 when it passed; 1 when there was nothing to
   *   wait for and the timeout is 0.
   * @throws KernelError ERESTARTSYS when `interruptible` and a signal is pending; EINVAL after a WARN for a negative timeout.
   * @kernel dma_resv_wait_timeout
   */
  wait(
    usage: ResvUsage,
    { timeoutMs = Number.POSITIVE_INFINITY, interruptible = false }: ResvWaitOptions = {},
  ): number {
    const t = resvTableOf(this.machine);
    enter(t.fences);
    return waitFences(t, this.ref, usage, interruptible, timeoutMs);
  }

  /** Whether all fences of a class and stronger are signalled. @kernel dma_resv_test_signaled */
  testSignaled(usage: ResvUsage): boolean {
    const t = resvTableOf(this.machine);
    enter(t.fences);
    return testSignaled(t, this.ref, usage);
  }

  /** The unsignalled fences of a class and stronger; drop the reference on each. @kernel dma_resv_get_fences @throws KernelError ENOMEM */
  getFences(usage: ResvUsage): Fence[] {
    return getFences(resvTableOf(this.machine), this.ref, usage).map((ref) => Fence.of(this.machine, ref));
  }

  /**
   * One fence, with a reference, that stands for the unsignalled fences of a class and stronger: the only one, or an array of
   * them; undefined when there are none. An array must not be added to a reservation object.
   * @kernel dma_resv_get_singleton @throws KernelError ENOMEM
   */
  getSingleton(usage: ResvUsage): Fence | undefined {
    const ref = getSingleton(resvTableOf(this.machine), this.ref, usage);
    return ref === 0 ? undefined : Fence.of(this.machine, ref);
  }

  /** Tells the issuers when the memory is needed, in nanoseconds of the machine's clock. @kernel dma_resv_set_deadline */
  setDeadline(usage: ResvUsage, deadlineNs: number): void {
    setDeadlines(resvTableOf(this.machine), this.ref, usage, deadlineNs);
  }

  /** A line for each fence but those of class BOOKKEEP. @locks held @kernel dma_resv_describe */
  describe(): string {
    this.#requireHeld('dma_resv_describe');
    return describeAll(resvTableOf(this.machine), this.#p);
  }

  /** Reports who must not take the lock, and contexts of another class. */
  #checkLock(call: string, ctx: WwAcquireCtx | undefined): void {
    if (this.#fences.signalling)
      this.machine.diag.lockdep('fence-critical', `${call} in a section that other fences wait for`);
    if (ctx !== undefined && ctx.wwClass.name !== RESERVATION_WW_CLASS.name)
      this.machine.diag.warn('ww-class', `${call} with a context of ${ctx.wwClass.name}`);
  }

  /** The kernel only asserts; going on without the lock would damage the list here, so the call is refused. */
  #requireHeld(call: string): void {
    if (this.#lock.heldByMe) return;
    this.#lock.assertHeld(call);
    throw new KernelError('EINVAL', call, 'the reservation object is not locked by the calling task');
  }
}
