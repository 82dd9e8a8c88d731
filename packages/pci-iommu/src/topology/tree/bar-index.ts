import { isDecodedMemory } from '../description/check-bars.ts';
import type { BarDescription } from '../description/machine-description.ts';
import type { TopologyFunction } from './topology-function.ts';

/** Where a physical address falls: a function, one of its memory BARs, the offset in it. */
export interface BarHit {
  readonly fn: TopologyFunction;
  readonly bar: BarDescription;
  readonly offset: number;
}

/** One memory BAR and its owner. */
export interface BarOwner {
  readonly fn: TopologyFunction;
  readonly bar: BarDescription;
}

/** All decoded memory BARs of a machine in ascending order, searched by halving. */
export class BarIndex {
  readonly #starts: Float64Array;
  readonly #owners: readonly BarOwner[];

  constructor(functions: readonly TopologyFunction[]) {
    this.#owners = functions
      .flatMap((fn) => fn.bars.filter((bar) => isDecodedMemory(bar)).map((bar) => ({ fn, bar })))
      .toSorted((a, b) => a.bar.start - b.bar.start);
    this.#starts = Float64Array.from(this.#owners, (owner) => owner.bar.start);
  }

  /** All memory BARs in ascending order of address. */
  get owners(): readonly BarOwner[] {
    return this.#owners;
  }

  /** The BAR that holds a physical address, or `null`. */
  find(physical: number): BarHit | null {
    const owner = this.#owners[this.#lastAtOrBelow(physical)];
    if (owner === undefined) return null;
    const offset = physical - owner.bar.start;
    return offset < owner.bar.size ? { fn: owner.fn, bar: owner.bar, offset } : null;
  }

  /** Index of the last BAR that starts at or below `physical`; -1 when there is none. */
  #lastAtOrBelow(physical: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#starts[middle] ?? 0) <= physical) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
