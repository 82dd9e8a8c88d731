import type { TopologyFunction } from '../../topology/index.ts';

/** Why a packet ends at a port: nobody decodes its address, or access control stops it. */
export interface Refusal {
  readonly by: TopologyFunction;
  readonly kind: 'aer-ur' | 'acs-violation';
  /** In a few static words. */
  readonly reason: string;
}

/** A range of bus addresses that a packet finds below the root complex. */
export interface PeerRange {
  readonly start: number;
  /** First address behind the range. */
  readonly end: number;
  /** Function that decodes it; `null` where the packet is refused. */
  readonly target: TopologyFunction | null;
  /** Number of the target's BAR; -1 without one. */
  readonly bar: number;
  /** Physical address minus bus address. */
  readonly offset: number;
  /** Who refuses the packet; `null` where a BAR decodes it. */
  readonly refusal: Refusal | null;
}

/** Where the memory packets of one function go: into a neighbour's window, else up to the root complex. */
export class RouteTable {
  /** Disjoint, ascending. */
  readonly ranges: readonly PeerRange[];
  readonly #starts: Float64Array;
  #last: PeerRange | null = null;
  /** The last stretch of addresses found to go up to the root complex. */
  #gapStart = 0;
  #gapEnd = 0;

  constructor(ranges: readonly PeerRange[]) {
    this.ranges = ranges;
    this.#starts = Float64Array.from(ranges, (range) => range.start);
  }

  /** The range that holds a bus address; `null` when the packet goes up to the root complex. */
  find(address: number): PeerRange | null {
    if (address >= this.#gapStart && address < this.#gapEnd) return null;
    const last = this.#last;
    if (last !== null && address >= last.start && address < last.end) return last;
    const i = this.#lastAtOrBelow(address);
    const range = this.ranges[i];
    if (range === undefined || address >= range.end) {
      this.#gapStart = range?.end ?? 0;
      this.#gapEnd = this.ranges[i + 1]?.start ?? Infinity;
      return null;
    }
    this.#last = range;
    return range;
  }

  /** First address above `address` that does not go to the root complex; Infinity when there is none. */
  nextAfter(address: number): number {
    if (address >= this.#gapStart && address < this.#gapEnd) return this.#gapEnd;
    return this.ranges[this.#lastAtOrBelow(address) + 1]?.start ?? Infinity;
  }

  #lastAtOrBelow(address: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#starts[middle]! <= address) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
