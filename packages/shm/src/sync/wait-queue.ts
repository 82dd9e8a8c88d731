import type { LockField } from '../arena/field.ts';
import { KernelError } from '../errors/kernel-error.ts';
import type { Machine } from '../machine/machine.ts';
import type { WaitOptions } from './completion.ts';
import { FOREVER, futexWait, futexWaitAsync, futexWake, WAIT_INTERRUPTED, WAIT_TIMED_OUT } from './futex.ts';

const SLEEPERS = 1;

/** Sleep until a condition holds; whoever changes the condition calls {@link wakeAll}. @kernel wait_queue_head_t */
export class WaitQueue {
  readonly machine: Machine;
  readonly at: number;
  readonly name: string;

  constructor(machine: Machine, at: number, name: string) {
    this.machine = machine;
    this.at = at;
    this.name = name;
  }

  /**
   * Waits until `condition()` is true; false when the timeout passed first. @kernel wait_event_timeout
   * @throws KernelError ERESTARTSYS when `interruptible` and a signal is pending.
   */
  waitUntil(
    condition: () => boolean,
    { timeoutMs = FOREVER, interruptible = false, label = this.name }: WaitOptions = {},
  ): boolean {
    const { machine, at } = this;
    const deadline = timeoutMs < 0 ? 0 : machine.clock.nowMs() + timeoutMs;
    for (;;) {
      const seq = Atomics.or(machine.mem.i32, at, SLEEPERS) | SLEEPERS;
      if (condition()) return true;
      const left = timeoutMs < 0 ? FOREVER : Math.max(0, deadline - machine.clock.nowMs());
      const r = futexWait(machine, at, seq, left, interruptible, label);
      if (r === WAIT_INTERRUPTED) throw new KernelError('ERESTARTSYS', 'wait_event', label);
      if (r === WAIT_TIMED_OUT) return condition();
    }
  }

  /** {@link waitUntil} for an event loop. */
  async waitUntilAsync(condition: () => boolean, timeoutMs: number = FOREVER): Promise<boolean> {
    const { machine, at } = this;
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const seq = Atomics.or(machine.mem.i32, at, SLEEPERS) | SLEEPERS;
      if (condition()) return true;
      const left = timeoutMs < 0 ? FOREVER : Math.max(0, deadline - performance.now());
      if ((await futexWaitAsync(machine, at, seq, left, this.name)) === WAIT_TIMED_OUT) return condition();
    }
  }

  /** Lets every waiter look at its condition again. @kernel wake_up_all */
  wakeAll(): void {
    const { i32 } = this.machine.mem;
    const old = Atomics.add(i32, this.at, 2);
    if ((old & SLEEPERS) !== 0) {
      Atomics.and(i32, this.at, ~SLEEPERS);
      futexWake(this.machine, this.at);
    }
  }
}

/** A {@link WaitQueue} over a struct's field, for the slot at word `p`. */
export function waitQueueOf(machine: Machine, p: number, field: LockField): WaitQueue {
  return new WaitQueue(machine, p + field.at, field.lockClass);
}
