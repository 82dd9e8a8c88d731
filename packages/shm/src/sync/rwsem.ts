import type { LockField } from '../arena/field.ts';
import { KernelError } from '../errors/kernel-error.ts';
import type { Machine } from '../machine/machine.ts';
import { FOREVER, futexWait, futexWake, WAIT_INTERRUPTED } from './futex.ts';
import { ASKED, HELD_READ, HELD_WRITE, noteDropped, noteHeld, noteReleased, noteTaken } from './held.ts';
import { ownerDead, releasing } from './mutex.ts';
import { syncPoint } from './sync-point.ts';

/** State word: readers in bits 0-15; then writer holds, writer waits (bars new readers), somebody sleeps, a holder died. */
const READERS = 0xffff;
const WRITER = 0x10000;
const WRITER_WAITS = 0x20000;
const SLEEPERS = 0x40000;
export const RWSEM_DEAD = 0x80000;

/** Reader-writer sleeping lock; writers go first. Word 0 is the state, word 1 the writer's task id. @kernel rw_semaphore */
export class RwSemaphore {
  readonly machine: Machine;
  readonly at: number;
  readonly className: string;
  readonly #class: number;

  constructor(machine: Machine, at: number, className: string) {
    this.machine = machine;
    this.at = at;
    this.className = className;
    this.#class = machine.lockdep.classId(className);
  }

  /** @kernel down_read @throws KernelError EOWNERDEAD when a holder died inside the kernel. */
  down(): void {
    this.#enter(HELD_READ);
    this.#acquire((v) => ((v & (WRITER | WRITER_WAITS)) === 0 ? v + 1 : -1), false);
  }

  /** @kernel up_read */
  up(): void {
    this.#release(1);
  }

  /** @kernel down_write */
  downWrite(): void {
    this.#enter(HELD_WRITE);
    this.#acquire(takeWrite, true);
    this.#own();
  }

  /** @kernel down_write_killable @throws KernelError EINTR when a signal is pending. */
  downWriteInterruptible(): void {
    this.#enter(HELD_WRITE);
    this.#acquire(takeWrite, true, true);
    this.#own();
  }

  /** @kernel down_write_trylock */
  tryDownWrite(): boolean {
    const { machine, at } = this;
    syncPoint('rwsem.trylock', at);
    noteHeld(machine, at, HELD_WRITE | ASKED, this.#class);
    const { i32 } = machine.mem;
    const v = Atomics.load(i32, at);
    const next = takeWrite(v);
    if (next !== -1 && (v & RWSEM_DEAD) === 0 && Atomics.compareExchange(i32, at, v, next) === v) {
      noteTaken(machine);
      this.#own();
      return true;
    }
    noteReleased(machine, at);
    return false;
  }

  /** @kernel up_write */
  upWrite(): void {
    if (!this.assertHeldWrite('up_write')) return;
    this.machine.mem.i32[this.at + 1] = 0;
    this.#release(WRITER);
  }

  /** Runs `fn` with the lock held for reading. */
  read<T>(fn: () => T): T {
    this.down();
    return releasing({ unlock: () => this.up() }, fn);
  }

  /** Runs `fn` with the lock held for writing. */
  write<T>(fn: () => T): T {
    this.downWrite();
    return releasing({ unlock: () => this.upWrite() }, fn);
  }

  get heldForWriteByMe(): boolean {
    return this.machine.mem.i32[this.at + 1] === this.machine.tid;
  }

  /** @kernel lockdep_assert_held_write */
  assertHeldWrite(where: string): boolean {
    if (this.heldForWriteByMe) return true;
    this.machine.diag.lockdep('not-held', `${where} needs ${this.className} held for writing`);
    return false;
  }

  #enter(kind: typeof HELD_READ | typeof HELD_WRITE): void {
    syncPoint('rwsem.lock', this.at);
    if (this.#class !== 0) this.machine.lockdep.acquire(this.#class, this.at);
    noteHeld(this.machine, this.at, kind | ASKED, this.#class);
  }

  #own(): void {
    this.machine.mem.i32[this.at + 1] = this.machine.tid;
  }

  #acquire(take: (v: number) => number, write: boolean, interruptible = false): void {
    const { machine, at } = this;
    const { i32 } = machine.mem;
    for (;;) {
      const v = Atomics.load(i32, at);
      if ((v & RWSEM_DEAD) !== 0) return this.#fail(ownerDead(machine, this.className, i32[at + 1]!));
      const next = take(v);
      if (next !== -1) {
        if (Atomics.compareExchange(i32, at, v, next) === v) return noteTaken(machine);
        continue;
      }
      if (machine.spin.whileEqual(machine.mem, at, v)) continue;
      const asleep = v | SLEEPERS | (write ? WRITER_WAITS : 0);
      if (asleep !== v && Atomics.compareExchange(i32, at, v, asleep) !== v) continue;
      if (futexWait(machine, at, asleep, FOREVER, interruptible, this.className) === WAIT_INTERRUPTED) {
        Atomics.and(i32, at, ~WRITER_WAITS);
        futexWake(machine, at);
        return this.#fail(new KernelError('EINTR', 'down_write', this.className));
      }
    }
  }

  #release(part: number): void {
    const { machine, at } = this;
    const { i32 } = machine.mem;
    const left = Atomics.sub(i32, at, part) - part;
    noteDropped(machine, at);
    if ((left & (READERS | WRITER)) === 0 && (left & SLEEPERS) !== 0) {
      Atomics.and(i32, at, ~(SLEEPERS | WRITER_WAITS));
      futexWake(machine, at);
    } else syncPoint('rwsem.unlock', at);
    if (machine.hasDeferredWork) machine.flushWork();
  }

  #fail(error: KernelError): never {
    noteReleased(this.machine, this.at);
    throw error;
  }
}

function takeWrite(v: number): number {
  return (v & (READERS | WRITER)) === 0 ? (v | WRITER) & ~WRITER_WAITS : -1;
}

/** A {@link RwSemaphore} over a struct's field, for the slot at word `p`. */
export function rwsemOf(machine: Machine, p: number, field: LockField): RwSemaphore {
  return new RwSemaphore(machine, p + field.at, field.lockClass);
}
