import { KernelError, type Machine, type Mutex, mutexOf, orUndo } from '@dmabuf-emu/shm';
import { PAGE_SIZE } from '../memory/page.ts';
import { IovaCache, MAGAZINE_PAGES, magazineOrder } from './iova-cache.ts';
import { IovaRanges } from './iova-ranges.ts';
import { IovaStruct } from './iova-struct.ts';
import { startTrim } from './iova-trim.ts';

/** Addresses have 48 bits. */
const TOP = 2 ** 48;
const FOUR_GIB = 2 ** 32;

/** A range of addresses that must never be given out. Both ends inclusive. */
export interface ReservedRange {
  readonly start: number;
  readonly end: number;
}

/** What a new space is. */
export interface IovaOptions {
  /** Bytes of its pages: a power of two, 4096 and more; 4096 by default. */
  readonly granule?: number;
  /** Nothing outside is given out, nor page 0. Both ends inclusive. @kernel iommu_domain_geometry */
  readonly aperture?: ReservedRange;
  readonly reserved?: readonly ReservedRange[];
}

/**
 * The I/O virtual addresses of one domain: gives out ranges top-down, aligned to the next power of two of their size, never
 * page 0 and never a reserved range; small ranges are recycled by the task that freed them. Pages are those of the space.
 *
 * @kernel struct iova_domain
 */
export class IovaSpace {
  /** Bytes of a page, and its bits. */
  readonly granule: number;
  readonly shift: number;
  /** Ranges of up to so many bytes are recycled by the task that freed them. */
  readonly recycledBytes: number;
  /** First page behind the last one. */
  readonly top: number;
  readonly #machine: Machine;
  readonly #lock: Mutex;
  readonly #ranges: IovaRanges;
  readonly #cache: IovaCache;
  readonly #ref: number;
  readonly #giveBack = (page: number): void => {
    if (this.#ranges.free(page)) return;
    this.#machine.diag.warn('iova-bad-free', `no IOVA range is allocated at 0x${(page * this.granule).toString(16)}`);
  };

  constructor(machine: Machine, ref: number) {
    const { mem } = machine;
    const p = machine.slab(IovaStruct).at(ref);
    this.#machine = machine;
    this.#ref = ref;
    this.shift = IovaStruct.shift.get(mem, p);
    this.granule = 2 ** this.shift;
    this.recycledBytes = Math.min(MAGAZINE_PAGES * this.granule, 2 ** 31);
    this.top = IovaStruct.top.get(mem, p);
    this.#lock = mutexOf(machine, p, IovaStruct.lock);
    this.#ranges = new IovaRanges(machine, p);
    this.#cache = new IovaCache(machine, p);
  }

  /**
   * Makes a space without the reserved ranges.
   * @kernel init_iova_domain
   * @throws KernelError ENOMEM; EINVAL for a granule that is not possible; EFAULT for an aperture without pages. Nothing is
   * left then
   */
  static create(machine: Machine, options: IovaOptions = {}): number {
    const { granule = PAGE_SIZE, aperture = { start: 0, end: TOP - 1 }, reserved = [] } = options;
    const shift = Math.log2(granule);
    if (!Number.isInteger(shift) || granule < PAGE_SIZE || granule > FOUR_GIB / 2) {
      throw new KernelError('EINVAL', 'init_iova_domain', `granule ${granule} is no power of two from ${PAGE_SIZE} on`);
    }
    const start = Math.max(1, Math.floor(aperture.start / granule));
    const top = Math.floor((Math.min(aperture.end, TOP - 1) + 1) / granule);
    if (top <= start) throw new KernelError('EFAULT', 'iommu_dma_init_domain', 'the aperture holds no page');
    const { mem } = machine;
    const slab = machine.slab(IovaStruct);
    const ref = slab.alloc('iova.domain');
    const p = slab.at(ref);
    IovaStruct.shift.set(mem, p, shift);
    IovaStruct.start.set(mem, p, start);
    IovaStruct.top.set(mem, p, top);
    IovaStruct.pages32.set(mem, p, FOUR_GIB / granule);
    const ranges = new IovaRanges(machine, p);
    const cache = new IovaCache(machine, p);
    orUndo(
      () => {
        ranges.init();
        cache.init();
        for (const range of reserved) ranges.reserve(...pagesOf(range, granule));
      },
      () => {
        cache.destroy();
        ranges.destroy();
        slab.free(ref, 'iova.domain');
      },
    );
    return ref;
  }

  /** Gives all memory back. @kernel put_iova_domain */
  destroy(): void {
    this.#cache.destroy();
    this.#ranges.destroy();
    this.#machine.slab(IovaStruct).free(this.#ref, 'iova.domain');
  }

  /**
   * Takes up to {@link recycledBytes} of what this task freed last, if that is below page `limit`. Calls nothing, so that it
   * is compiled into its caller and its double is never boxed.
   * @returns the first page; 0: use {@link alloc}
   */
  allocRecycled(pages: number, limit: number): number {
    return this.#cache.get(magazineOrder(pages), limit);
  }

  /**
   * Takes `pages` pages below page `limit`.
   * @param flush - when nothing is free, take back what the magazines hold and try once more
   * @returns the first page, or 0
   * @throws KernelError ENOMEM without room to remember it
   * @kernel alloc_iova_fast
   */
  alloc(pages: number, limit: number, flush: boolean): number {
    if (pages > MAGAZINE_PAGES) return this.#allocSlow(pages, -1, limit, flush);
    const order = magazineOrder(pages);
    const page = this.#cache.getPrevious(order, limit);
    return page !== 0 ? page : this.#allocSlow(1 << order, order, limit, flush);
  }

  /** Gives up to {@link recycledBytes} back as {@link allocRecycled} takes them; false: use {@link free}. */
  recycle(page: number, pages: number): boolean {
    return this.#cache.put(page, magazineOrder(pages));
  }

  /** Gives a range back: the whole one that was taken. @kernel free_iova_fast */
  free(page: number, pages: number): void {
    if (pages > MAGAZINE_PAGES) return this.#freeSlow(page, -1);
    const order = magazineOrder(pages);
    if (!this.#cache.putPrevious(page, order)) this.#freeSlow(page, order);
  }

  /** Takes a range for good. @kernel reserve_iova @throws KernelError ENOMEM */
  reserve(range: ReservedRange): void {
    this.#lock.with(() => this.#ranges.reserve(...pagesOf(range, this.granule)));
  }

  /** Puts the ranges of every task's magazines back. Only on a quiet machine. */
  drain(): void {
    this.#lock.with(() => this.#cache.drain(this.#giveBack));
  }

  /** Puts the ranges in the magazines of a task back that left or died. @throws KernelError EOWNERDEAD when it died with the lock @kernel iova_cpuhp_dead */
  reap(task: number): void {
    this.#lock.with(() => this.#cache.drainOf(task, this.#giveBack));
  }

  /** Full magazines in the depot, of ranges of `1 << order` pages. */
  depotOf(order: number): number {
    return this.#cache.depotOf(order);
  }

  /** Pages that are taken and not given back. Exact on a quiet machine. */
  livePages(): number {
    return this.#ranges.total - this.#ranges.reserved - this.#cache.pages();
  }

  /** Ranges that are taken, those in magazines and reserved ones included. */
  get rangeCount(): number {
    return this.#ranges.count;
  }

  /** Taken ranges as [first, end) pages, those in magazines and reserved ones included. */
  ranges(): [first: number, end: number][] {
    return this.#ranges.list();
  }

  /** Compares counters with ranges, for checks on a quiet machine. Returns what is wrong. */
  audit(): string[] {
    const ranges = this.#ranges.list();
    const pages = ranges.reduce((sum, [first, end]) => sum + end - first, 0);
    const wrong = ranges.filter(([first, end], i) => end <= first || (i > 0 && first < ranges[i - 1]![1]));
    return [
      ...(pages === this.#ranges.total
        ? []
        : [`IOVA ranges have ${pages} pages, the counter says ${this.#ranges.total}`]),
      ...(ranges.length === this.rangeCount
        ? []
        : [`${ranges.length} IOVA ranges, the counter says ${this.rangeCount}`]),
      ...wrong.map(([first, end]) => `IOVA range [${first}, ${end}) is out of order`),
    ];
  }

  #allocSlow(pages: number, order: number, limit: number, flush: boolean): number {
    return this.#lock.with(() => {
      const recycled = order >= 0 && this.#cache.refill(order) ? this.#cache.getPrevious(order, limit) : 0;
      const page = recycled !== 0 ? recycled : this.#ranges.alloc(pages, limit);
      if (page !== 0 || !flush) return page;
      this.#cache.flushMine(this.#giveBack);
      return this.#ranges.alloc(pages, limit);
    });
  }

  #freeSlow(page: number, order: number): void {
    if (order < 0) return this.#lock.with(() => this.#giveBack(page));
    const grew = this.#lock.with(() => this.#cache.putSlow(page, order, this.#giveBack));
    if (grew) startTrim(this.#machine, this.#ref, order);
  }
}

/** The pages [first, end) that a range touches, page 0 aside. */
function pagesOf({ start, end }: ReservedRange, granule: number): [first: number, end: number] {
  return [Math.max(1, Math.floor(start / granule)), Math.floor(end / granule) + 1];
}
