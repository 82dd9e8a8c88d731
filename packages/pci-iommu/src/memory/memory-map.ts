import type { BarRange, MemoryRegion } from './memory-region.ts';
import { PAGE_SIZE } from './page.ts';

/**
 * Physical addresses to frame numbers and back, and which BAR owns an address. Plain tables of this thread, equal in every
 * thread of the machine; each lookup tries the region of the last one first.
 */
export class MemoryMap {
  /** Ascending in address and in frame number. */
  readonly regions: readonly MemoryRegion[];
  /** One more than the highest frame number. */
  readonly frames: number;
  readonly #starts: Float64Array;
  readonly #frames: Int32Array;
  #last: MemoryRegion | null;
  /** Frames of the region of the last {@link paddrOf}, and what to add to a frame's bytes. */
  #firstFrame = 0;
  #endFrame = 0;
  readonly #offset = new Float64Array(1);

  constructor(regions: readonly MemoryRegion[]) {
    this.regions = regions;
    this.#starts = Float64Array.from(regions, (region) => region.start);
    this.#frames = Int32Array.from(regions, (region) => region.frame);
    const top = regions.at(-1);
    this.frames = top === undefined ? 0 : top.frame + top.pages;
    this.#last = regions[0] ?? null;
  }

  /** The region that holds a physical address, or `null`. */
  regionAt(paddr: number): MemoryRegion | null {
    const last = this.#last;
    if (last !== null && paddr >= last.start && paddr < last.end) return last;
    const region = this.regions[lastAtOrBelow(this.#starts, paddr)];
    if (region === undefined || paddr >= region.end) return null;
    this.#last = region;
    return region;
  }

  /** The region that holds a frame, or `null` for numbers that no region has. */
  regionOfFrame(frame: number): MemoryRegion | null {
    const last = this.#last;
    if (last !== null && frame >= last.frame && frame < last.frame + last.pages) return last;
    const region = this.regions[lastAtOrBelow(this.#frames, frame)];
    if (region === undefined || frame >= region.frame + region.pages) return null;
    this.#last = region;
    return region;
  }

  /** Frame number of the page that holds a physical address; -1 when nothing is there. */
  frameOf(paddr: number): number {
    const region = this.regionAt(paddr);
    return region === null ? -1 : region.frame + Math.floor((paddr - region.start) / PAGE_SIZE);
  }

  /** Physical address of a frame's first byte; -1 for numbers that no region has. */
  paddrOf(frame: number): number {
    if (frame < this.#firstFrame || frame >= this.#endFrame) {
      const region = this.regionOfFrame(frame);
      if (region === null) return -1;
      this.#firstFrame = region.frame;
      this.#endFrame = region.frame + region.pages;
      this.#offset[0] = region.start - region.frame * PAGE_SIZE;
    }
    return this.#offset[0]! + frame * PAGE_SIZE;
  }

  /** The BAR that decodes a physical address, exact to the byte, or `null`. */
  barAt(paddr: number): BarRange | null {
    const region = this.regionAt(paddr);
    return region === null ? null : barOf(region, paddr);
  }
}

/** The BAR of a region that decodes a physical address, or `null`. */
export function barOf(region: MemoryRegion, paddr: number): BarRange | null {
  for (const bar of region.bars) if (paddr >= bar.start && paddr < bar.end) return bar;
  return null;
}

/** Index of the last entry of an ascending table that is at or below `value`; -1 when there is none. */
export function lastAtOrBelow(table: Float64Array | Int32Array, value: number): number {
  let low = 0;
  let high = table.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (table[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
