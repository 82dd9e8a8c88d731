import { kmemSlab, type Machine, type Mem } from '@dmabuf-emu/shm';
import { IovaStruct } from './domain-struct.ts';

/** Pages below 4 GiB. @kernel dma_32bit_pfn */
export const DMA_32BIT_PAGES = 2 ** 20;
/** Page 0 is never given out. @kernel iova_domain.start_pfn */
const FIRST_PAGE = 1;
const FIRST_ROOM = 31;
const WORDS_PER_RANGE = 4;

/**
 * The allocated ranges of an IOVA space in ascending order, neighbours merged; pages, not bytes. The search for a free range
 * goes top-down from a remembered place, as in the kernel's tree. The caller holds the space's lock.
 *
 * @kernel drivers/iommu/iova.c
 */
export class IovaRanges {
  readonly #machine: Machine;
  readonly #mem: Mem;
  readonly #p: number;

  /** @param p - word of the space's slot */
  constructor(machine: Machine, p: number) {
    this.#machine = machine;
    this.#mem = machine.mem;
    this.#p = p;
  }

  /** Makes an empty space. @throws KernelError ENOMEM */
  init(): void {
    IovaStruct.cached32.set(this.#mem, this.#p, Infinity);
    IovaStruct.cached.set(this.#mem, this.#p, Infinity);
    IovaStruct.max32.set(this.#mem, this.#p, DMA_32BIT_PAGES);
    this.#makeRoom(FIRST_ROOM);
  }

  /** Gives the array back. */
  destroy(): void {
    const slot = IovaStruct.ranges.get(this.#mem, this.#p);
    if (slot !== 0) kmemSlab(this.#machine, this.#slotWords(this.#room)).free(slot, 'iova.ranges');
  }

  /**
   * The highest free run of `pages` pages below `limit`, aligned to the next power of two, and takes it.
   * @returns its first page, or 0
   * @throws KernelError ENOMEM without room to remember it
   * @kernel __alloc_and_insert_iova_range
   */
  alloc(pages: number, limit: number): number {
    const { f64 } = this.#mem;
    const small = limit <= DMA_32BIT_PAGES;
    const max32 = IovaStruct.max32;
    if (small && pages >= max32.get(this.#mem, this.#p)) return 0;
    const align = nextPowerOfTwo(pages);
    const from = (small ? IovaStruct.cached32 : IovaStruct.cached).get(this.#mem, this.#p);
    let found = this.#search(f64, pages, align, Math.min(limit, from), FIRST_PAGE);
    if (found === 0 && from < limit) found = this.#search(f64, pages, align, limit, from);
    if (found === 0) {
      max32.set(this.#mem, this.#p, pages);
      return 0;
    }
    this.#addNode();
    this.#insert(found, found + pages);
    (found + pages <= DMA_32BIT_PAGES ? IovaStruct.cached32 : IovaStruct.cached).set(this.#mem, this.#p, found);
    return found;
  }

  /** Gives pages [first, end) back. False, and nothing done, when not all of them are allocated. @kernel free_iova */
  free(first: number, end: number): boolean {
    const { f64 } = this.#mem;
    const i = this.#lastBelow(first + 1);
    if (i < 0 || this.#end(f64, i) < end) return false;
    const next = this.#end(f64, i) > end ? end : i + 1 < this.#count ? this.#start(f64, i + 1) : Infinity;
    if (end <= DMA_32BIT_PAGES && first >= IovaStruct.cached32.get(this.#mem, this.#p)) {
      IovaStruct.cached32.set(this.#mem, this.#p, next);
    }
    if (first < DMA_32BIT_PAGES) IovaStruct.max32.set(this.#mem, this.#p, DMA_32BIT_PAGES);
    if (first >= IovaStruct.cached.get(this.#mem, this.#p)) IovaStruct.cached.set(this.#mem, this.#p, next);
    this.#cut(i, first, end);
    IovaStruct.nodes.sub(this.#mem, this.#p, 1);
    return true;
  }

  /** Takes pages [first, end) for good, whether or not some are taken already. @kernel reserve_iova @throws KernelError ENOMEM */
  reserve(first: number, end: number): void {
    const { f64 } = this.#mem;
    for (let at = Math.max(FIRST_PAGE, first); at < end;) {
      const i = this.#lastBelow(at + 1);
      if (i >= 0 && this.#end(f64, i) > at) {
        at = this.#end(f64, i);
        continue;
      }
      const stop = Math.min(end, i + 1 < this.#count ? this.#start(f64, i + 1) : end);
      this.#addNode();
      this.#insert(at, stop);
      IovaStruct.reserved.set(this.#mem, this.#p, IovaStruct.reserved.get(this.#mem, this.#p) + stop - at);
      at = stop;
    }
  }

  /** Pages that are taken, reserved ones included. */
  total(): number {
    let pages = 0;
    for (let i = 0; i < this.#count; i++) pages += this.#end(this.#mem.f64, i) - this.#start(this.#mem.f64, i);
    return pages;
  }

  /** Pages that were reserved. */
  get reserved(): number {
    return IovaStruct.reserved.get(this.#mem, this.#p);
  }

  /** The taken ranges as [first, end) pages, for checks on a quiet machine. */
  list(): [first: number, end: number][] {
    return Array.from({ length: this.#count }, (_, i) => [this.#start(this.#mem.f64, i), this.#end(this.#mem.f64, i)]);
  }

  #search(f64: Float64Array, pages: number, align: number, from: number, low: number): number {
    let high = from;
    for (let i = this.#lastBelow(high); high > low; i--) {
      const bottom = i < 0 ? FIRST_PAGE : this.#end(f64, i);
      const at = Math.floor((high - pages) / align) * align;
      if (at >= bottom && at >= low) return at;
      if (i < 0) break;
      high = Math.min(high, this.#start(f64, i));
    }
    return 0;
  }

  #insert(first: number, end: number): void {
    const { f64 } = this.#mem;
    const i = this.#lastBelow(first);
    const joinsBelow = i >= 0 && this.#end(f64, i) === first;
    const joinsAbove = i + 1 < this.#count && this.#start(f64, i + 1) === end;
    if (joinsBelow && joinsAbove) {
      this.#set(f64, i, this.#start(f64, i), this.#end(f64, i + 1));
      this.#shift(i + 2, -1);
    } else if (joinsBelow) this.#set(f64, i, this.#start(f64, i), end);
    else if (joinsAbove) this.#set(f64, i + 1, first, this.#end(f64, i + 1));
    else {
      this.#shift(i + 1, 1);
      this.#set(f64, i + 1, first, end);
    }
  }

  /** Takes [first, end) out of range `i`, which holds all of it. */
  #cut(i: number, first: number, end: number): void {
    const { f64 } = this.#mem;
    const [start, stop] = [this.#start(f64, i), this.#end(f64, i)];
    if (start === first && stop === end) this.#shift(i + 1, -1);
    else if (start === first) this.#set(f64, i, end, stop);
    else {
      if (stop !== end) {
        this.#shift(i + 1, 1);
        this.#set(f64, i + 1, end, stop);
      }
      this.#set(f64, i, start, first);
    }
  }

  /** Moves the ranges from `i` on by one place up or down and changes the count. */
  #shift(i: number, by: 1 | -1): void {
    const count = this.#count;
    const at = IovaStruct.rangesAt.get(this.#mem, this.#p) * 4;
    const bytes = WORDS_PER_RANGE * 4;
    this.#mem.copy(at + (i + by) * bytes, at + i * bytes, (count - i) * bytes);
    IovaStruct.count.set(this.#mem, this.#p, count + by);
  }

  /** Makes sure that there is room even when no two neighbours are merged, so that freeing never needs memory. */
  #addNode(): void {
    const nodes = IovaStruct.nodes.get(this.#mem, this.#p) + 1;
    if (nodes >= this.#room) this.#makeRoom(this.#room * 2 + 1);
    IovaStruct.nodes.set(this.#mem, this.#p, nodes);
  }

  #makeRoom(room: number): void {
    const slab = kmemSlab(this.#machine, this.#slotWords(room));
    const slot = slab.alloc('iova.ranges');
    const at = slab.at(slot) + 2;
    const old = IovaStruct.ranges.get(this.#mem, this.#p);
    if (old !== 0) {
      this.#mem.copy(at * 4, IovaStruct.rangesAt.get(this.#mem, this.#p) * 4, this.#count * WORDS_PER_RANGE * 4);
      kmemSlab(this.#machine, this.#slotWords(this.#room)).free(old, 'iova.ranges');
    }
    IovaStruct.ranges.set(this.#mem, this.#p, slot);
    IovaStruct.rangesAt.set(this.#mem, this.#p, at);
    IovaStruct.room.set(this.#mem, this.#p, room);
  }

  /** Words behind the slot's header for `room` ranges: one to align them to doubles. */
  #slotWords(room: number): number {
    return room * WORDS_PER_RANGE + 1;
  }

  /** Index of the last range that starts below `page`; -1 when there is none. */
  #lastBelow(page: number): number {
    const { f64 } = this.#mem;
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#start(f64, middle) < page) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  get #count(): number {
    return IovaStruct.count.get(this.#mem, this.#p);
  }

  get #room(): number {
    return IovaStruct.room.get(this.#mem, this.#p);
  }

  #start(f64: Float64Array, i: number): number {
    return f64[(IovaStruct.rangesAt.get(this.#mem, this.#p) >>> 1) + 2 * i]!;
  }

  #end(f64: Float64Array, i: number): number {
    return f64[(IovaStruct.rangesAt.get(this.#mem, this.#p) >>> 1) + 2 * i + 1]!;
  }

  #set(f64: Float64Array, i: number, first: number, end: number): void {
    const at = (IovaStruct.rangesAt.get(this.#mem, this.#p) >>> 1) + 2 * i;
    f64[at] = first;
    f64[at + 1] = end;
  }
}

/** The power of two at or above `value`. */
function nextPowerOfTwo(value: number): number {
  return value <= 2 ** 31 ? 2 ** (value <= 1 ? 0 : 32 - Math.clz32(value - 1)) : 2 ** Math.ceil(Math.log2(value));
}
