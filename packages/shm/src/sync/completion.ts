import type { LockField } from '../arena/field.ts';
import { KernelError } from '../errors/kernel-error.ts';
import type { Machine } from '../machine/machine.ts';
import { FOREVER, futexWait, futexWaitAsync, futexWake, WAIT_INTERRUPTED, WAIT_TIMED_OUT } from './futex.ts';

/** Word: bit 0 somebody may sleep; count of completions above it; ALL once completed for everybody. */
const SLEEPERS = 1;
const ONE = 2;
const ALL = 0x40000000;

/** How to wait. `timeoutMs` on the machine's clock, none by default. */
export interface WaitOptions {
  readonly timeoutMs?: number;
  readonly interruptible?: boolean;
  /** What the wait is for, in hang reports. */
  readonly label?: string;
}

/** Wait for something to be finished. A handle over one word. @kernel completion */
export class Completion {
  readonly machine: Machine;
  readonly at: number;
  readonly name: string;

  constructor(machine: Machine, at: number, name: string) {
    this.machine = machine;
    this.at = at;
    this.name = name;
  }

  /** Lets one waiter go on. @kernel complete */
  complete(): void {
    const old = this.machine.mem.movers.add(this.at, ONE);
    if ((old & SLEEPERS) !== 0) this.#wake();
  }

  /** Lets all waiters go on, now and later. @kernel complete_all */
  completeAll(): void {
    const old = Atomics.or(this.machine.mem.i32, this.at, ALL);
    if ((old & SLEEPERS) !== 0) this.#wake();
  }

  /** Back to "not done". Nobody may be waiting. @kernel reinit_completion */
  reinit(): void {
    Atomics.store(this.machine.mem.i32, this.at, 0);
  }

  /** @kernel completion_done */
  get done(): boolean {
    return (Atomics.load(this.machine.mem.i32, this.at) & ~SLEEPERS) !== 0;
  }

  /**
   * Waits; false when the timeout passed first. @kernel wait_for_completion_timeout
   * @throws KernelError ERESTARTSYS when `interruptible` and a signal is pending.
   */
  wait({ timeoutMs = FOREVER, interruptible = false, label = this.name }: WaitOptions = {}): boolean {
    const { machine, at } = this;
    const deadline = timeoutMs < 0 ? 0 : machine.clock.nowMs() + timeoutMs;
    for (;;) {
      if (timeoutMs === 0 ? this.#tryTake() : machine.spin.forCount(machine.mem, at, ONE, SLEEPERS, ALL)) return true;
      const v = Atomics.or(machine.mem.i32, at, SLEEPERS) | SLEEPERS;
      if (v !== SLEEPERS) continue;
      const left = timeoutMs < 0 ? FOREVER : Math.max(0, deadline - machine.clock.nowMs());
      const r = futexWait(machine, at, v, left, interruptible, label);
      if (r === WAIT_INTERRUPTED) throw new KernelError('ERESTARTSYS', 'wait_for_completion', label);
      if (r === WAIT_TIMED_OUT) return this.#tryTake();
    }
  }

  /** {@link wait} for an event loop. */
  async waitAsync(timeoutMs: number = FOREVER): Promise<boolean> {
    const { machine, at } = this;
    const deadline = performance.now() + timeoutMs;
    while (!this.#tryTake()) {
      const v = Atomics.or(machine.mem.i32, at, SLEEPERS) | SLEEPERS;
      if (v !== SLEEPERS) continue;
      const left = timeoutMs < 0 ? FOREVER : Math.max(0, deadline - performance.now());
      if ((await futexWaitAsync(machine, at, v, left, this.name)) === WAIT_TIMED_OUT) return this.#tryTake();
    }
    return true;
  }

  /** Wakes everybody; whom the count does not serve sets the bit again. Who set it meanwhile has seen the count, or wakes. */
  #wake(): void {
    Atomics.and(this.machine.mem.i32, this.at, ~SLEEPERS);
    futexWake(this.machine, this.at);
  }

  #tryTake(): boolean {
    return this.machine.mem.movers.countSpin(this.at, ONE, SLEEPERS, ALL, 1) !== 0;
  }
}

/** A {@link Completion} over a struct's field, for the slot at word `p`. */
export function completionOf(machine: Machine, p: number, field: LockField): Completion {
  return new Completion(machine, p + field.at, field.lockClass);
}
