import { availableParallelism } from 'node:os';
import type { Mem } from '../memory/mem.ts';

/** About the price of a park and a wake-up between two cores, and the least that a thread tries. */
const MOST_US = availableParallelism() > 1 ? 60 : 0;
const LEAST_US = availableParallelism() > 1 ? 0.25 : 0;
const FIRST_US = 5;

/**
 * Spins for about as long as a park costs, then tells the caller to park. The budget of a thread adapts: it doubles when a
 * spin met its event and halves when it did not, so that a machine with more runnable threads than cores stops spinning.
 */
export class SpinBudget {
  #us = Math.min(FIRST_US, MOST_US);

  /** Spins while the word at `at` holds `value`; true when it changed. */
  whileEqual({ movers }: Mem, at: number, value: number): boolean {
    return this.#note(movers.spinWhileEqual(at, value, this.#us * movers.turnsPerUs) !== 0);
  }

  /** Spins while the masked bits of the word at `at` are all clear; true when one was set. */
  whileClear({ movers }: Mem, at: number, mask: number): boolean {
    return this.#note(movers.spinWhileClear(at, mask, this.#us * movers.turnsPerUs) !== 0);
  }

  /** Spins for the lock word at `at` and takes it from 0 to `mine`; false when it stays taken or has a `stop` bit set. */
  forLock({ movers }: Mem, at: number, mine: number, stop: number): boolean {
    return this.#note(movers.lockSpin(at, mine, stop, this.#us * movers.turnsPerUs) === 0);
  }

  /** Spins for a count in the word at `at` and takes `one` off it, unless an `all` bit is set; `flags` are no count. */
  forCount({ movers }: Mem, at: number, one: number, flags: number, all: number): boolean {
    return this.#note(movers.countSpin(at, one, flags, all, this.#us * movers.turnsPerUs) !== 0);
  }

  #note(hit: boolean): boolean {
    if (hit) {
      if (this.#us < MOST_US) this.#us = Math.min(MOST_US, this.#us * 2);
    } else if (this.#us > LEAST_US) {
      this.#us = Math.max(LEAST_US, this.#us / 2);
    }
    return hit;
  }
}
