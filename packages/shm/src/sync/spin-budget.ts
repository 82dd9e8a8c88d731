import { availableParallelism } from 'node:os';
import type { Mem } from '../memory/mem.ts';

/** About the price of a park and a wake-up between two cores, what a thread begins with, and the least that it tries. */
const MOST_US = 60;
const FIRST_US = 5;
const LEAST_US = 0.25;
/** So many misses in a row are followed by one spin of {@link MOST_US}: two threads that both park never meet in less. */
const PROBE_EVERY = 64;

/**
 * Spins for about as long as a park costs, then tells the caller to park. The budget of a thread adapts: it doubles when a
 * spin met its event and halves when it did not, so that a machine with more runnable threads than cores stops spinning; now
 * and then it tries the whole budget again.
 */
export class SpinBudget {
  readonly #most: number;
  readonly #least: number;
  #us: number;
  /** In a row. */
  #misses = 0;

  constructor(cores: number = availableParallelism()) {
    this.#most = cores > 1 ? MOST_US : 0;
    this.#least = cores > 1 ? LEAST_US : 0;
    this.#us = cores > 1 ? FIRST_US : 0;
  }

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
    if (!hit) return this.#missed();
    this.#misses = 0;
    if (this.#us < this.#most) this.#us = Math.min(this.#most, this.#us * 2);
    return true;
  }

  #missed(): false {
    this.#misses++;
    const since = this.#misses % PROBE_EVERY;
    if (since === 0) this.#us = this.#most;
    else if (since === 1 && this.#misses > 1) this.#us = this.#least;
    else this.#us = Math.max(this.#least, this.#us / 2);
    return false;
  }
}
