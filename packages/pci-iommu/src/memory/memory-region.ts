import type { BarOwner, TopologyFunction } from '../topology/index.ts';

/** What answers at a range of physical addresses. */
export type RegionKind = 'ram' | 'bar';

/** A memory BAR as the memory map sees it: exact to the byte. */
export interface BarRange {
  readonly fn: TopologyFunction;
  /** BAR number, 0..5. */
  readonly bar: number;
  readonly start: number;
  /** First address behind the BAR. */
  readonly end: number;
}

/**
 * A run of pages with consecutive frame numbers: some RAM, or the pages of one memory BAR (of several, when they are
 * smaller than a page and share one).
 */
export interface MemoryRegion {
  /** Position in the memory map's table. */
  readonly index: number;
  readonly kind: RegionKind;
  /** First physical address; a multiple of the page size. */
  readonly start: number;
  /** First physical address behind the region; a multiple of the page size. */
  readonly end: number;
  /** Frame number of the first page. Congruent to the page number modulo 512, so that large pages line up. */
  readonly frame: number;
  /** Number of pages. */
  readonly pages: number;
  /** The BARs inside, ascending; none for RAM. */
  readonly bars: readonly BarRange[];
}

/** The byte-exact range of a decoded BAR. */
export function barRangeOf({ fn, bar }: BarOwner): BarRange {
  return { fn, bar: bar.index, start: bar.start, end: bar.start + bar.size };
}
