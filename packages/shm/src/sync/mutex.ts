import type { LockField } from '../arena/field.ts';
import { KernelError, TaskKilled } from '../errors/kernel-error.ts';
import type { Machine } from '../machine/machine.ts';
import { FOREVER, futexWait, futexWaitAsync, futexWake, WAIT_INTERRUPTED } from './futex.ts';
import { HELD_MUTEX, heldByte, noteHeld, noteReleased, tooManyHeld } from './held.ts';
import type { Movers } from '../memory/movers.ts';
import { MAX_HELD } from '../machine/header.ts';
import { syncPoint } from './sync-point.ts';

/** Lock word: owner's task id from bit 2 on; bit 0: somebody may sleep on it; bit 1: the owner died. */
const CONTENDED = 1;
export const OWNER_DEAD = 2;
const OWNER_SHIFT = 2;

/** Sleeping lock with one owner. A handle over one word of the arena; make as many as you like. @kernel mutex */
export class Mutex {
  readonly machine: Machine;
  readonly at: number;
  readonly className: string;
  readonly #class: number;
  readonly #take: Movers['lockTake'];
  readonly #drop: Movers['lockDrop'];
  /** Byte of the task's list of held locks. */
  readonly #held: number;
  readonly #mine: number;

  constructor(machine: Machine, at: number, className: string) {
    this.machine = machine;
    this.at = at;
    this.className = className;
    this.#class = machine.lockdep.classId(className);
    this.#take = machine.mem.movers.lockTake;
    this.#drop = machine.mem.movers.lockDrop;
    this.#held = heldByte(machine);
    this.#mine = machine.tid << OWNER_SHIFT;
  }

  /**
   * Takes the lock, sleeping if need be. @kernel mutex_lock
   * @throws KernelError EDEADLK when this task holds it already, EOWNERDEAD when its owner died inside the kernel.
   */
  lock(): void {
    this.#lock(false);
  }

  /** Like {@link lock}. @kernel mutex_lock_interruptible @throws KernelError EINTR when a signal is pending. */
  lockInterruptible(): void {
    this.#lock(true);
  }

  /** @kernel mutex_trylock */
  tryLock(): boolean {
    const { machine, at } = this;
    syncPoint('mutex.trylock', at);
    noteHeld(machine, at, HELD_MUTEX, this.#class);
    if (Atomics.compareExchange(machine.mem.i32, at, 0, machine.tid << OWNER_SHIFT) === 0) return true;
    noteReleased(machine, at);
    return false;
  }

  /** @kernel mutex_unlock */
  unlock(): void {
    const { machine, at } = this;
    const flags = this.#drop(this.#held, CONTENDED, at, this.#mine);
    if (flags === CONTENDED) futexWake(machine, at, 1);
    else if (flags !== 0) return this.#unlockOdd(flags);
    syncPoint('mutex.unlock', at);
    if (machine.hasDeferredWork) machine.flushWork();
  }

  #unlockOdd(flags: number): void {
    const { machine, at } = this;
    if (flags === -1) {
      machine.diag.lockdep(
        'unlock-not-owner',
        `${this.className} is unlocked by task ${machine.tid} which does not hold it`,
      );
      return;
    }
    noteReleased(machine, at);
    if ((flags & CONTENDED) !== 0) futexWake(machine, at, 1);
  }

  /** Runs `fn` with the lock held. */
  with<T>(fn: () => T): T {
    this.lock();
    return releasing(this, fn);
  }

  get isLocked(): boolean {
    return Atomics.load(this.machine.mem.i32, this.at) !== 0;
  }

  get heldByMe(): boolean {
    return this.machine.mem.i32[this.at]! >>> OWNER_SHIFT === this.machine.tid;
  }

  /** Reports a lockdep diagnostic when the calling task does not hold the lock; tells which. @kernel lockdep_assert_held */
  assertHeld(where: string): boolean {
    if (this.heldByMe) return true;
    this.machine.diag.lockdep('not-held', `${where} needs ${this.className} held`);
    return false;
  }

  /** Takes the lock without blocking the event loop. */
  async lockAsync(): Promise<void> {
    const { machine, at } = this;
    const { i32 } = machine.mem;
    while (!this.tryLock()) {
      const v = Atomics.load(i32, at);
      if ((v & OWNER_DEAD) !== 0) throw ownerDead(machine, this.className, v >>> OWNER_SHIFT);
      if (v !== 0 && Atomics.compareExchange(i32, at, v, v | CONTENDED) === v) {
        await futexWaitAsync(machine, at, v | CONTENDED, FOREVER, this.className);
        if (Atomics.compareExchange(i32, at, 0, (machine.tid << OWNER_SHIFT) | CONTENDED) === 0) {
          noteHeld(machine, at, HELD_MUTEX, this.#class);
          return;
        }
      }
    }
  }

  #lock(interruptible: boolean): void {
    const { machine, at } = this;
    syncPoint('mutex.lock', at);
    if (this.#class !== 0) machine.lockdep.acquire(this.#class, at);
    const old = this.#take(this.#held, MAX_HELD, HELD_MUTEX | (this.#class << 4), at, this.#mine);
    if (old !== 0) this.#slow(old, interruptible);
  }

  #slow(first: number, interruptible: boolean): void {
    const { machine, at } = this;
    if (first === -1) tooManyHeld(machine);
    if (first >>> OWNER_SHIFT === machine.tid) {
      machine.diag.lockdep('recursive-lock', `task ${machine.tid} takes ${this.className} twice`);
      return this.#fail(new KernelError('EDEADLK', 'mutex_lock', `${this.className} is held by this task already`));
    }
    const { mem } = machine;
    let mine = this.#mine;
    for (;;) {
      if (machine.spin.forLock(mem, at, mine, OWNER_DEAD)) return;
      const v = Atomics.load(mem.i32, at);
      if ((v & OWNER_DEAD) !== 0) return this.#fail(ownerDead(machine, this.className, v >>> OWNER_SHIFT));
      if (v === 0) continue;
      if ((v & CONTENDED) === 0 && Atomics.compareExchange(mem.i32, at, v, v | CONTENDED) !== v) continue;
      mine |= CONTENDED;
      const r = futexWait(machine, at, v | CONTENDED, FOREVER, interruptible, this.className);
      if (r === WAIT_INTERRUPTED) {
        // The signal may have come together with the unlock's wake-up, which is somebody else's then.
        futexWake(machine, at, 1);
        return this.#fail(new KernelError('EINTR', 'mutex_lock_interruptible', this.className));
      }
    }
  }

  #fail(error: KernelError): never {
    noteReleased(this.machine, this.at);
    throw error;
  }
}

/** A {@link Mutex} over a struct's field, for the slot at word `p`. */
export function mutexOf(machine: Machine, p: number, field: LockField): Mutex {
  return new Mutex(machine, p + field.at, field.lockClass);
}

/** Runs `fn`, then unlocks; a killed task leaves the lock as it is. */
export function releasing<T>(lock: { unlock(): void }, fn: () => T): T {
  let result: T;
  try {
    result = fn();
  } catch (error) {
    if (!(error instanceof TaskKilled)) lock.unlock();
    throw error;
  }
  lock.unlock();
  return result;
}

/** The error that every waiter of a lock gets whose owner died inside the kernel. */
export function ownerDead(machine: Machine, className: string, owner: number): KernelError {
  return new KernelError(
    'EOWNERDEAD',
    'mutex_lock',
    `${className} was held by task ${owner} (${machine.taskName(owner)}) when it died`,
  );
}
