import { i32, KernelError, type Machine, spinLock, spinUnlock, struct } from '@dmabuf-emu/shm';
import { countSetBits, findClearRun, firstSetBit, nextClearBit, writeBits } from './bit-runs.ts';
import type { MemoryMap } from './memory-map.ts';
import type { MemoryRegion } from './memory-region.ts';
import { PAGE_SIZE } from './page.ts';

const RamStruct = struct('pci.ram', {
  lock: i32(),
  /** Pages given out. */
  used: i32(),
  /** No page below this bit is free. */
  hint: i32(),
});

/** A region of RAM and the number of its first bit. */
interface Bank {
  readonly region: MemoryRegion;
  readonly bit: number;
}

/**
 * Gives out pages of RAM, lowest first: a bitmap in the arena. Physical page 0 is never given out, so that address 0 can
 * stand for "none".
 */
export class RamAllocator {
  readonly #machine: Machine;
  readonly #at: number;
  readonly #bits: number;
  readonly #words: number;
  readonly #banks: readonly Bank[];
  readonly #bitOfRegion: Int32Array;
  readonly #end: number;

  constructor(machine: Machine, map: MemoryMap) {
    this.#machine = machine;
    let next = 0;
    this.#banks = map.regions
      .filter((region) => region.kind === 'ram')
      .map((region) => {
        const bank = { region, bit: next };
        next = Math.ceil((next + region.pages) / 32) * 32;
        return bank;
      });
    this.#bitOfRegion = new Int32Array(map.regions.length);
    for (const { region, bit } of this.#banks) this.#bitOfRegion[region.index] = bit;
    this.#end = next;
    this.#words = next / 32;
    this.#at = machine.root('pci.ram', RamStruct.$words);
    this.#bits = machine.root('pci.ram-bitmap', this.#words + 1);
  }

  /**
   * Takes `count` pages with consecutive physical addresses.
   * @param alignPages - the address is a multiple of this many pages
   * @throws KernelError ENOMEM when no such run is free; EINVAL when `count` is not a positive whole number
   */
  alloc(count: number, alignPages = 1): number {
    if (!Number.isInteger(count) || count < 1) throw new KernelError('EINVAL', 'alloc_pages', `${count} pages`);
    if (this.#machine.faults.armed) this.#machine.faults.check('memory.alloc_pages');
    return this.#locked(() => {
      const { mem } = this.#machine;
      const hint = RamStruct.hint.get(mem, this.#at);
      for (const { region, bit } of this.#banks) {
        const end = bit + region.pages;
        const from = Math.max(bit, hint, region.start === 0 ? 1 : 0);
        if (from >= end) continue;
        const skew = (region.start / PAGE_SIZE - bit) % alignPages;
        const run = findClearRun(mem.i32, this.#bits, from, end, count, alignPages, skew);
        if (run < bit) continue;
        writeBits(mem.i32, this.#bits, run, count, true);
        RamStruct.used.add(mem, this.#at, count);
        if (run === from && (from === hint || bit === 0)) RamStruct.hint.set(mem, this.#at, run + count);
        return region.start + (run - bit) * PAGE_SIZE;
      }
      throw new KernelError(
        'ENOMEM',
        'alloc_pages',
        `no ${count} free pages in a row (${this.freePages} of ${this.totalPages} are free)`,
      );
    });
  }

  /**
   * Gives pages back.
   * @throws KernelError EINVAL when one of them is not RAM that was given out; then nothing changes
   */
  free(paddr: number, count: number): void {
    const bit = this.#bitOf(paddr, count);
    this.#locked(() => {
      const { mem } = this.#machine;
      if (bit < 0 || nextClearBit(mem.i32, this.#bits, bit, bit + count) !== bit + count) {
        throw new KernelError('EINVAL', 'free_pages', `0x${paddr.toString(16)}+${count} pages were not given out`);
      }
      writeBits(mem.i32, this.#bits, bit, count, false);
      RamStruct.used.sub(mem, this.#at, count);
      if (bit < RamStruct.hint.get(mem, this.#at)) RamStruct.hint.set(mem, this.#at, bit);
    });
  }

  /** Whether every page of the range is RAM that was given out. */
  isAllocated(paddr: number, count = 1): boolean {
    const bit = this.#bitOf(paddr, count);
    return bit >= 0 && nextClearBit(this.#machine.mem.i32, this.#bits, bit, bit + count) === bit + count;
  }

  /** Byte offset of the bitmap of pages given out. */
  get bitmapByte(): number {
    return this.#bits * 4;
  }

  /** Number of the bit of a region's first frame. */
  bitOf(region: MemoryRegion): number {
    return this.#bitOfRegion[region.index]!;
  }

  /** Whether a frame of a region of RAM is given out. */
  isFrameAllocated(region: MemoryRegion, frame: number): boolean {
    const bit = this.#bitOfRegion[region.index]! + frame - region.frame;
    return ((this.#machine.mem.i32[this.#bits + (bit >>> 5)]! >>> (bit & 31)) & 1) === 1;
  }

  /** {@link isAllocated} for every page that a range of bytes inside one region of RAM touches. */
  isAllocatedIn(region: MemoryRegion, paddr: number, length: number): boolean {
    const bit = this.#bitOfRegion[region.index]! + Math.floor((paddr - region.start) / PAGE_SIZE);
    const end = this.#bitOfRegion[region.index]! + Math.floor((paddr + length - 1 - region.start) / PAGE_SIZE) + 1;
    return nextClearBit(this.#machine.mem.i32, this.#bits, bit, end) === end;
  }

  /** Pages given out. */
  get usedPages(): number {
    return RamStruct.used.load(this.#machine.mem, this.#at);
  }

  get totalPages(): number {
    return this.#banks.reduce((sum, { region }) => sum + region.pages, 0);
  }

  get freePages(): number {
    return this.totalPages - this.usedPages;
  }

  /** Pages given out according to the bitmap, for checks on a quiet machine. */
  countUsed(): number {
    return countSetBits(this.#machine.mem.i32, this.#bits, this.#words);
  }

  /** Physical addresses of the pages given out, for reports. At most `limit`. */
  usedAddresses(limit: number): number[] {
    const found: number[] = [];
    const { i32: words } = this.#machine.mem;
    for (let bit = 0; found.length < limit; bit++) {
      bit = firstSetBit(words, this.#bits, bit, this.#end);
      if (bit < 0) break;
      const bank = this.#banks.findLast((candidate) => candidate.bit <= bit)!;
      found.push(bank.region.start + (bit - bank.bit) * PAGE_SIZE);
    }
    return found;
  }

  #bitOf(paddr: number, count: number): number {
    const bank = this.#banks.find(({ region }) => paddr >= region.start && paddr + count * PAGE_SIZE <= region.end);
    return bank === undefined || paddr % PAGE_SIZE !== 0 ? -1 : bank.bit + (paddr - bank.region.start) / PAGE_SIZE;
  }

  #locked<T>(fn: () => T): T {
    const lock = this.#at + RamStruct.lock.at;
    spinLock(this.#machine, lock);
    try {
      return fn();
    } finally {
      spinUnlock(this.#machine, lock);
    }
  }
}
