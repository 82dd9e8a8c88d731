import type { LockField } from '../arena/field.ts';
import { KernelError } from '../errors/kernel-error.ts';
import type { Machine } from '../machine/machine.ts';
import { MAX_HELD, TaskStruct } from '../machine/header.ts';
import { FOREVER, futexWait } from './futex.ts';
import { HELD_WW, heldByte, noteHeld, noteReleased, tooManyHeld } from './held.ts';
import type { Movers } from '../memory/movers.ts';
import { ownerDead, releasing } from './mutex.ts';
import { spinLock, spinUnlock } from './spin.ts';
import { syncPoint } from './sync-point.ts';
import { WwCtxStruct, type WwAcquireCtx } from './ww-ctx.ts';
import {
  checkWaiters,
  findPlace,
  insertWaiter,
  mustDie,
  removeWaiter,
  wakeWaiter,
  wound,
  WW_CTX,
  WW_FIRST,
  WW_WAIT_LOCK,
} from './ww-waiters.ts';

/** Owner word: task id from bit 3 on; waiters queued; next unlock hands over to the first waiter; owner died. */
const WAITERS = 1;
const HANDOFF = 2;
export const WW_DEAD = 4;
export const WW_OWNER_SHIFT = 3;

const C = WwCtxStruct;

/** Mutex with deadlock avoidance over five words of the arena. @kernel ww_mutex */
export class WwMutex {
  readonly machine: Machine;
  readonly at: number;
  readonly className: string;
  readonly #class: number;
  readonly #movers: Movers;
  readonly #held: number;
  readonly #mine: number;

  constructor(machine: Machine, at: number, className: string) {
    this.machine = machine;
    this.at = at;
    this.className = className;
    this.#class = machine.lockdep.classId(className);
    this.#movers = machine.mem.movers;
    this.#held = heldByte(machine);
    this.#mine = machine.tid << WW_OWNER_SHIFT;
  }

  /**
   * Takes the lock; with a context, deadlock is avoided by its class's algorithm. @kernel ww_mutex_lock
   * @throws KernelError EDEADLK: back off (unlock everything of the context, then {@link lockSlow} this one);
   *   EALREADY: this context holds it; EOWNERDEAD: its owner died inside the kernel.
   */
  lock(ctx?: WwAcquireCtx): void {
    this.#acquire(ctx, false, false);
  }

  /** @kernel ww_mutex_lock_interruptible @throws KernelError as {@link lock}, and EINTR. */
  lockInterruptible(ctx?: WwAcquireCtx): void {
    this.#acquire(ctx, true, false);
  }

  /** After EDEADLK, with no lock of `ctx` held: waits for the contended lock, never dies. @kernel ww_mutex_lock_slow */
  lockSlow(ctx: WwAcquireCtx): void {
    this.#acquire(ctx, false, true);
  }

  /** @kernel ww_mutex_lock_slow_interruptible @throws KernelError EINTR */
  lockSlowInterruptible(ctx: WwAcquireCtx): void {
    this.#acquire(ctx, true, true);
  }

  /** @kernel ww_mutex_trylock */
  tryLock(ctx?: WwAcquireCtx): boolean {
    const { machine, at } = this;
    syncPoint('ww_mutex.trylock', at);
    if (ctx !== undefined && ctx.acquired === 0) C.wounded.store(machine.mem, ctx.p, 0);
    noteHeld(machine, at, HELD_WW, this.#class);
    if (!this.#tryTake(false)) {
      noteReleased(machine, at);
      return false;
    }
    this.#own(ctx, true);
    return true;
  }

  /** @kernel ww_mutex_unlock */
  unlock(): void {
    const { machine, at } = this;
    const { i32 } = machine.mem;
    if ((i32[at]! & ~(WAITERS | HANDOFF)) !== this.#mine) {
      machine.diag.lockdep(
        'unlock-not-owner',
        `${this.className} is unlocked by task ${machine.tid} which does not hold it`,
      );
      return;
    }
    const ctx = i32[at + WW_CTX]!;
    if (ctx !== 0) {
      const acquired = C.acquired.get(machine.mem, ctx);
      if (acquired > 0) C.acquired.set(machine.mem, ctx, acquired - 1);
      i32[at + WW_CTX] = 0;
    }
    const flags = this.#dropUncontended();
    if (flags === -1) this.#unlockSlow();
    if (flags !== 0) noteReleased(machine, at);
    syncPoint('ww_mutex.unlock', at);
    if (machine.hasDeferredWork) machine.flushWork();
  }

  /** Runs `fn` with the lock held, without a context. */
  with<T>(fn: () => T): T {
    this.lock();
    return releasing(this, fn);
  }

  /** @kernel ww_mutex_is_locked */
  get isLocked(): boolean {
    return Atomics.load(this.machine.mem.i32, this.at) >>> WW_OWNER_SHIFT !== 0;
  }

  /** Whether its owner died inside the kernel: nobody gets it any more. */
  get ownerDead(): boolean {
    return (Atomics.load(this.machine.mem.i32, this.at) & WW_DEAD) !== 0;
  }

  get heldByMe(): boolean {
    return this.machine.mem.i32[this.at]! >>> WW_OWNER_SHIFT === this.machine.tid;
  }

  /** Word of the context that holds the lock, 0 for none. @kernel dma_resv_locking_ctx */
  get lockingCtx(): number {
    return this.machine.mem.i32[this.at + WW_CTX]!;
  }

  /** Reports a lockdep diagnostic when the calling task does not hold the lock; tells which. @kernel lockdep_assert_held */
  assertHeld(where: string): boolean {
    if (this.heldByMe) return true;
    this.machine.diag.lockdep('not-held', `${where} needs ${this.className} held`);
    return false;
  }

  #acquire(ctx: WwAcquireCtx | undefined, interruptible: boolean, slow: boolean): void {
    const { machine, at } = this;
    syncPoint('ww_mutex.lock', at);
    if (ctx !== undefined) this.#checkCtx(ctx, slow);
    if (this.#class !== 0) machine.lockdep.acquire(this.#class, at, ctx !== undefined);
    const old = this.#movers.lockTake(this.#held, MAX_HELD, HELD_WW | (this.#class << 4), at, this.#mine);
    if (old === 0) {
      if (ctx !== undefined) this.#own(ctx, true);
    } else if (old === -1) tooManyHeld(machine);
    else this.#contended(ctx, interruptible);
    if (ctx !== undefined && machine.faults.wwDeadlock && !slow) this.#inject(ctx);
  }

  #checkCtx(ctx: WwAcquireCtx, slow: boolean): void {
    const { machine, at } = this;
    const { mem } = machine;
    if (this.heldByMe && mem.i32[at + WW_CTX] === ctx.p) {
      throw new KernelError('EALREADY', 'ww_mutex_lock', `this context holds ${this.className} already`);
    }
    if (C.done.get(mem, ctx.p) !== 0) machine.diag.warn('ww-after-done', 'lock after ww_acquire_done');
    const contending = C.contending.get(mem, ctx.p);
    if (slow && contending !== at)
      machine.diag.warn('ww-slow', 'ww_mutex_lock_slow without a preceding EDEADLK on this lock');
    if (contending !== 0 && (contending !== at || ctx.acquired !== 0)) {
      machine.diag.warn('ww-backoff', 'after EDEADLK only the contended lock may be taken next, with no lock held');
    }
    C.contending.set(mem, ctx.p, 0);
    if (C.wounded.get(mem, ctx.p) !== 0 && ctx.acquired === 0) C.wounded.store(mem, ctx.p, 0);
  }

  /** Records the new holder's context and looks after the waiters it may have overtaken. */
  #own(ctx: WwAcquireCtx | undefined, inspect: boolean): void {
    const { machine, at } = this;
    const { mem } = machine;
    if (ctx === undefined) {
      mem.i32[at + WW_CTX] = 0;
      return;
    }
    this.#movers.store(at + WW_CTX, ctx.p);
    C.acquired.set(mem, ctx.p, C.acquired.get(mem, ctx.p) + 1);
    if (!inspect || (this.#movers.load(at) & WAITERS) === 0) return;
    spinLock(machine, at + WW_WAIT_LOCK);
    checkWaiters(machine, at, ctx.p);
    spinUnlock(machine, at + WW_WAIT_LOCK);
  }

  /** Takes a free lock, or notices that it was handed to the calling task. Needs no wait lock. */
  #tryTake(handedOver: boolean): boolean {
    const { machine, at } = this;
    const { i32 } = machine.mem;
    for (;;) {
      const v = Atomics.load(i32, at);
      if (v >>> WW_OWNER_SHIFT !== 0 || (v & WW_DEAD) !== 0) return handedOver && v >>> WW_OWNER_SHIFT === machine.tid;
      if (Atomics.compareExchange(i32, at, v, (machine.tid << WW_OWNER_SHIFT) | (v & WAITERS)) === v) return true;
    }
  }

  #contended(ctx: WwAcquireCtx | undefined, interruptible: boolean): void {
    const { machine, at } = this;
    const { i32 } = machine.mem;
    const v = Atomics.load(i32, at);
    if (v >>> WW_OWNER_SHIFT === machine.tid && (v & WW_DEAD) === 0) {
      machine.diag.lockdep('recursive-lock', `task ${machine.tid} takes ${this.className} twice`);
      return this.#fail(new KernelError('EDEADLK', 'ww_mutex_lock', `${this.className} is held by this task already`));
    }
    const stop = WAITERS | HANDOFF | WW_DEAD;
    if ((v & stop) === 0 && machine.spin.forLock(machine.mem, at, this.#mine, stop)) return this.#own(ctx, true);
    spinLock(machine, at + WW_WAIT_LOCK);
    if (this.#tryTake(false)) {
      spinUnlock(machine, at + WW_WAIT_LOCK);
      return this.#own(ctx, true);
    }
    const before = ctx === undefined ? 0 : findPlace(machine, at, ctx.p);
    if (before === -1) {
      spinUnlock(machine, at + WW_WAIT_LOCK);
      return this.#die(ctx!);
    }
    insertWaiter(machine, at, ctx?.p ?? 0, before);
    Atomics.or(i32, at, WAITERS);
    if (ctx !== undefined && C.waitDie.get(machine.mem, ctx.p) === 0) {
      wound(machine, ctx.p, i32[at + WW_CTX]!, Atomics.load(i32, at) >>> WW_OWNER_SHIFT);
    }
    this.#sleep(ctx, interruptible);
  }

  /** The waiting loop; enters and, on every path, leaves with the waiter node queued and the wait lock held. */
  #sleep(ctx: WwAcquireCtx | undefined, interruptible: boolean): void {
    const { machine, at } = this;
    const { i32 } = machine.mem;
    const event = machine.taskAt + TaskStruct.wwEvent.at;
    let slept = false;
    for (;;) {
      // Before anything is looked at: who wounds this task holds the wait lock of another mutex.
      Atomics.store(i32, event, 0);
      if (this.#tryTake(true)) break;
      const v = Atomics.load(i32, at);
      if ((v & WW_DEAD) !== 0) {
        this.#dequeue();
        return this.#fail(ownerDead(machine, this.className, v >>> WW_OWNER_SHIFT));
      }
      if (interruptible && machine.signalPending) {
        this.#dequeue();
        return this.#fail(new KernelError('EINTR', 'ww_mutex_lock_interruptible', this.className));
      }
      if (ctx !== undefined && mustDie(machine, at, ctx.p)) {
        this.#dequeue();
        return this.#die(ctx);
      }
      if (slept && i32[at + WW_FIRST] === machine.tid) {
        Atomics.or(i32, at, HANDOFF);
        if (this.#tryTake(true)) break;
      }
      syncPoint('ww_mutex.park', at);
      spinUnlock(machine, at + WW_WAIT_LOCK);
      if (!machine.spin.whileEqual(machine.mem, event, 0))
        futexWait(machine, event, 0, FOREVER, interruptible, this.className);
      slept = true;
      spinLock(machine, at + WW_WAIT_LOCK);
    }
    const first = this.#unqueue();
    const inspect = !slept || (ctx !== undefined && C.waitDie.get(machine.mem, ctx.p) === 0 && !first);
    if (ctx !== undefined) {
      Atomics.store(i32, at + WW_CTX, ctx.p);
      C.acquired.set(machine.mem, ctx.p, C.acquired.get(machine.mem, ctx.p) + 1);
      if (inspect) checkWaiters(machine, at, ctx.p);
    } else i32[at + WW_CTX] = 0;
    spinUnlock(machine, at + WW_WAIT_LOCK);
  }

  #unqueue(): boolean {
    const { machine, at } = this;
    const first = removeWaiter(machine, at, machine.tid);
    if (machine.mem.i32[at + WW_FIRST] === 0) Atomics.and(machine.mem.i32, at, ~(WAITERS | HANDOFF));
    return first;
  }

  /** Leaves the queue with an error: passes a hand-over on that may have reached this task meanwhile. */
  #dequeue(): void {
    const { machine, at } = this;
    this.#unqueue();
    spinUnlock(machine, at + WW_WAIT_LOCK);
  }

  #die(ctx: WwAcquireCtx): never {
    C.contending.set(this.machine.mem, ctx.p, this.at);
    return this.#fail(
      new KernelError('EDEADLK', 'ww_mutex_lock', `${this.className}: back off and take it with lockSlow`),
    );
  }

  #fail(error: KernelError): never {
    noteReleased(this.machine, this.at);
    throw error;
  }

  /** Frees the word if nobody queues: 0 when done, note included; 0x100 when the note is left; -1 when somebody queues. */
  #dropUncontended(): number {
    return this.#movers.lockDropExact(this.#held, this.at, this.#mine);
  }

  #unlockSlow(): void {
    const { machine, at } = this;
    const { i32 } = machine.mem;
    spinLock(machine, at + WW_WAIT_LOCK);
    const first = i32[at + WW_FIRST]!;
    const v = Atomics.load(i32, at);
    const heir = (v & HANDOFF) !== 0 ? first : 0;
    Atomics.store(i32, at, (heir << WW_OWNER_SHIFT) | (first !== 0 ? WAITERS : 0));
    if (first !== 0) wakeWaiter(machine, first);
    spinUnlock(machine, at + WW_WAIT_LOCK);
  }

  /** Fake EDEADLK after a successful lock, as a debugging kernel injects it. @kernel CONFIG_DEBUG_WW_MUTEX_SLOWPATH */
  #inject(ctx: WwAcquireCtx): void {
    const { mem } = this.machine;
    if (ctx.acquired <= 1) return;
    const left = C.injectLeft.get(mem, ctx.p);
    C.injectLeft.set(mem, ctx.p, left - 1);
    if (left !== 0) return;
    const interval = C.injectInterval.get(mem, ctx.p);
    const next = interval > 0x3fffffff ? 0x7fffffff : interval * 2 + interval + (interval >> 1);
    C.injectInterval.set(mem, ctx.p, next);
    C.injectLeft.set(mem, ctx.p, next);
    this.unlock();
    C.contending.set(mem, ctx.p, this.at);
    throw new KernelError('EDEADLK', 'ww_mutex_lock', `injected: back off from ${this.className}`);
  }
}

/** A {@link WwMutex} over a struct's field, for the slot at word `p`. */
export function wwMutexOf(machine: Machine, p: number, field: LockField): WwMutex {
  return new WwMutex(machine, p + field.at, field.lockClass);
}
