import { atomicExchange, type Machine, type Mem } from '@dmabuf-emu/shm';
import type { IommuDomain } from '../iommu/iommu-domain.ts';
import { highBits, lowBits, MAX_PAGE_NUMBER } from '../iommu/table-entry.ts';
import type { MemoryRegion } from '../memory/memory-region.ts';
import { copyRuns } from '../memory/move-runs.ts';
import { PAGE_SIZE } from '../memory/page.ts';
import type { PhysicalMemory } from '../memory/physical-memory.ts';
import { RunList } from '../memory/run-list.ts';
import { WALK_BASE64 } from './walk-bytes.ts';

/** Most pages that one access may go through the IOMMU before its bytes must be moved. */
const PAGES = 320;
/** Words that walk.wat knows too: where frames are looked up, which of them are plain RAM, and results. Then pieces, entries. */
const DIRECTORY = 0;
const FIRST_FRAME = 1;
const FRAMES = 2;
const BITMAP = 3;
const FIRST_BIT = 4;
const COUNT = 5;
const END_THEN_STALE = 6;
const NEXT_ENTRY = 7;
const RUNS = 8;
const ENTRIES = RUNS + 2 * PAGES;
const FENCE = ENTRIES + PAGES + 1;
const STATE_WORDS = FENCE + 1;
const CHECK_STALE = 1;
const CHECK_OWNED = 2;

interface WalkModule {
  readonly walk: (
    state: number,
    tlb: number,
    low: number,
    high: number,
    offset: number,
    left: number,
    need: number,
    check: number,
  ) => number;
  readonly copyRuns: (dst: number, dstCount: number, src: number, srcCount: number) => void;
}

const MODULE = Symbol('pci.walk');

/**
 * The way of one access through an IOMMU: the pieces of the arena found so far, and the translations that were used, so that
 * it can be seen afterwards whether they were still in force. In the arena, where WebAssembly reaches it.
 */
export class WalkState {
  readonly runs: RunList;
  /** Whether the last {@link walk} ended at a page that needs a closer look, and that page's entry. */
  stopped = false;
  entry = 0;
  /** Page whose cached translation the page table no longer had in the last {@link walk}; -1: none. */
  stalePage = -1;
  readonly #mem: Mem;
  readonly #i32: Int32Array;
  readonly #at: number;
  readonly #memory: PhysicalMemory;
  readonly #module: WalkModule | null;
  /** Stretches of pages: first page, index of its entry; the first `#stretches` of them. */
  readonly #ranges: number[] = [];
  #stretches = 0;
  #used = 0;
  #domain: IommuDomain | null = null;
  #sequence = 0;

  /** @param name - of this access's owner @throws KernelError ENOMEM */
  constructor(machine: Machine, memory: PhysicalMemory, name: string) {
    const { mem } = machine;
    const at = machine.root(`pci.walk:${machine.tid}:${name}`, STATE_WORDS);
    this.#mem = mem;
    this.#i32 = mem.i32;
    this.#at = at;
    this.#memory = memory;
    this.#module = machine.local(MODULE, () => mem.instantiate(WALK_BASE64)) as WalkModule | null;
    this.runs = new RunList(new Uint32Array(mem.buffer, (at + RUNS) * 4, 2 * PAGES));
    mem.i32[at + DIRECTORY] = memory.store.directoryByte;
    mem.i32[at + BITMAP] = memory.ram.bitmapByte;
    mem.i32[at + FRAMES] = 0;
  }

  /** Whatever this thread read and wrote before, other threads see before what it reads and writes from now on. */
  fence(): void {
    atomicExchange(this.#mem, this.#at + FENCE, 0);
  }

  /** A new access begins. */
  clear(): void {
    this.runs.clear();
    this.#stretches = 0;
    this.#used = 0;
    this.#domain = null;
  }

  /** The access goes on through `domain` at `page`. */
  begin(domain: IommuDomain, page: number): void {
    if (this.#domain === null) {
      this.#domain = domain;
      this.#sequence = domain.iotlb?.sequenceSeen ?? 0;
    }
    this.#ranges[2 * this.#stretches] = page;
    this.#ranges[2 * this.#stretches + 1] = this.#used;
    this.#stretches++;
  }

  /** No more pages can be noted: what was found must be moved first. */
  get isFull(): boolean {
    return this.#used >= PAGES;
  }

  /**
   * Translates pages of an access and finds the bytes behind them, for as long as all is well and they are in the RAM that
   * {@link expect} named. The first other page is translated too: see {@link entry}; {@link accept} goes on behind it.
   * @param need - permission that the pages must have
   * @param checkOwned - end at RAM that is not given out
   * @returns bytes found
   */
  walk(
    domain: IommuDomain,
    page: number,
    offset: number,
    length: number,
    need: number,
    checkStale: boolean,
    checkOwned: boolean,
  ): number {
    const room = Math.min(PAGES - this.#used, this.runs.isHome ? PAGES - this.runs.count : 0, MAX_PAGE_NUMBER - page);
    const { iotlb } = domain;
    this.stalePage = -1;
    if (this.#module === null || iotlb === null || room <= 0) {
      this.stopped = true;
      this.entry = domain.translate(page, checkStale);
      if (domain.staleHit) this.stalePage = page;
      return 0;
    }
    const [words, at] = [this.#i32, this.#at];
    words[at + COUNT] = this.runs.count;
    words[at + END_THEN_STALE] = this.runs.end;
    words[at + NEXT_ENTRY] = ENTRIES + this.#used;
    const left = Math.min(length, room * PAGE_SIZE - offset);
    const check = (checkStale ? CHECK_STALE : 0) | (checkOwned ? CHECK_OWNED : 0);
    const low = lowBits(page) | 0;
    const got = this.#module.walk(at * 4, iotlb.byteOffset, low, highBits(page), offset, left, need, check);
    this.runs.wrote(words[at + COUNT]!, got);
    if (got > 0) this.#used += Math.ceil((offset + got) / PAGE_SIZE);
    if (words[at + END_THEN_STALE]! >= 0) this.stalePage = page + words[at + END_THEN_STALE]!;
    this.stopped = got < left;
    if (this.stopped) this.entry = words[at + ENTRIES + this.#used]!;
    return got;
  }

  /** The page at which {@link walk} ended was resolved in another way. */
  accept(): void {
    this.#i32[this.#at + ENTRIES + this.#used] = this.entry;
    this.#used++;
  }

  /** Pages of this region of RAM need no closer look. */
  expect(region: MemoryRegion): void {
    this.#i32[this.#at + FIRST_FRAME] = region.frame;
    this.#i32[this.#at + FRAMES] = region.pages;
    this.#i32[this.#at + FIRST_BIT] = this.#memory.ram.bitOf(region);
  }

  /** Copies the bytes that `source` found to where this one leads, as many as both have. Returns how many. */
  copyFrom(source: WalkState): number {
    const [to, from] = [this.runs, source.runs];
    if (this.#module === null || !to.isHome || !from.isHome) return copyRuns(this.#mem, to, from);
    this.#module.copyRuns((this.#at + RUNS) * 4, to.count, (source.#at + RUNS) * 4, from.count);
    return Math.min(to.total, from.total);
  }

  /** What the access found has been written: so it is dirty where the domain notes that. */
  noteWritten(): void {
    const domain = this.#domain;
    if (domain === null || !domain.tracksDirty) return;
    for (let i = 0; i < this.#stretches; i++) {
      const [page, from] = [this.#ranges[2 * i]!, this.#ranges[2 * i + 1]!];
      const to = i + 1 < this.#stretches ? this.#ranges[2 * i + 3]! : this.#used;
      domain.markDirty(page, page + to - from);
    }
  }

  /** The first page whose translation is another one now; -1 when nothing was invalidated or none of these. */
  firstChanged(): number {
    const domain = this.#domain;
    if (domain === null || domain.iotlb?.sequenceSeen === this.#sequence) return -1;
    for (let i = 0; i < this.#stretches; i++) {
      const [page, from] = [this.#ranges[2 * i]!, this.#ranges[2 * i + 1]!];
      const to = i + 1 < this.#stretches ? this.#ranges[2 * i + 3]! : this.#used;
      for (let k = from; k < to; k++) {
        const now = page + k - from;
        if (domain.walk(now) !== this.#i32[this.#at + ENTRIES + k]) return now;
      }
    }
    return -1;
  }
}
