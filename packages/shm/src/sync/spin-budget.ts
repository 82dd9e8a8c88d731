import { availableParallelism } from 'node:os';
import type { Mem } from '../memory/mem.ts';

const MOST = availableParallelism() > 1 ? 12_000 : 0;
const LEAST = availableParallelism() > 1 ? 40 : 0;

/**
 * Spins for about as long as a park costs, then tells the caller to park. The budget of a thread adapts: it doubles when a
 * spin met its event and halves when it did not, so that a machine with more runnable threads than cores stops spinning.
 */
export class SpinBudget {
  #turns = Math.min(1000, MOST);

  /** Spins while the word at `at` holds `value`; true when it changed. */
  whileEqual(mem: Mem, at: number, value: number): boolean {
    const { i32 } = mem;
    for (let turn = this.#turns; turn > 0; turn--) {
      if (Atomics.load(i32, at) !== value) return this.#hit();
    }
    return this.#miss();
  }

  /** Spins while the masked bits of the word at `at` are all clear; true when one was set. */
  whileClear(mem: Mem, at: number, mask: number): boolean {
    const { i32 } = mem;
    for (let turn = this.#turns; turn > 0; turn--) {
      if ((Atomics.load(i32, at) & mask) !== 0) return this.#hit();
    }
    return this.#miss();
  }

  #hit(): boolean {
    if (this.#turns < MOST) this.#turns = Math.min(MOST, this.#turns * 2);
    return true;
  }

  #miss(): boolean {
    if (this.#turns > LEAST) this.#turns = Math.max(LEAST, this.#turns >>> 1);
    return false;
  }
}
