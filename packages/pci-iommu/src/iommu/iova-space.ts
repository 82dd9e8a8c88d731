import { type Machine, type Mutex, mutexOf } from '@dmabuf-emu/shm';
import { undoOnFailure } from '../internal/unwind.ts';
import { PAGE_SIZE } from '../memory/page.ts';
import { IovaStruct } from './domain-struct.ts';
import { IovaCache, MAGAZINE_PAGES, magazineOrder } from './iova-cache.ts';
import { IovaRanges } from './iova-ranges.ts';

/** Ranges of up to so many bytes are recycled by the task that freed them. */
export const RECYCLED_BYTES = MAGAZINE_PAGES * PAGE_SIZE;

/** A range of addresses that must never be given out. Both ends inclusive. */
export interface ReservedRange {
  readonly start: number;
  readonly end: number;
}

/**
 * The I/O virtual addresses of one domain: gives out ranges top-down, aligned to the next power of two of their size, never
 * page 0 and never a reserved range; small ranges are recycled by the task that freed them.
 *
 * @kernel struct iova_domain
 */
export class IovaSpace {
  readonly #machine: Machine;
  readonly #lock: Mutex;
  readonly #ranges: IovaRanges;
  readonly #cache: IovaCache;
  readonly #ref: number;
  readonly #giveBack = (page: number, pages: number): void => {
    if (this.#ranges.free(page, page + pages)) return;
    const where = `0x${(page * PAGE_SIZE).toString(16)}`;
    this.#machine.diag.warn('iova-bad-free', `IOVA range ${where}+${pages} pages was not allocated`);
  };

  constructor(machine: Machine, ref: number) {
    const p = machine.slab(IovaStruct).at(ref);
    this.#machine = machine;
    this.#ref = ref;
    this.#lock = mutexOf(machine, p, IovaStruct.lock);
    this.#ranges = new IovaRanges(machine, p);
    this.#cache = new IovaCache(machine, p);
  }

  /** Makes a space without the reserved ranges. @kernel init_iova_domain @throws KernelError ENOMEM; nothing is left then */
  static create(machine: Machine, reserved: readonly ReservedRange[]): number {
    const slab = machine.slab(IovaStruct);
    const ref = slab.alloc('iova.domain');
    const p = slab.at(ref);
    const ranges = new IovaRanges(machine, p);
    const cache = new IovaCache(machine, p);
    undoOnFailure(
      () => {
        ranges.init();
        cache.init();
        for (const { start, end } of reserved) {
          ranges.reserve(Math.floor(start / PAGE_SIZE), Math.floor(end / PAGE_SIZE) + 1);
        }
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
   * Takes up to {@link RECYCLED_BYTES} of what this task freed last, if that is below page `limit`. Calls nothing, so that it
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

  /** Gives up to {@link RECYCLED_BYTES} back as {@link allocRecycled} takes them; false: use {@link free}. */
  recycle(page: number, pages: number): boolean {
    return this.#cache.put(page, magazineOrder(pages));
  }

  /** Gives a range back: the whole one that was taken. @kernel free_iova_fast */
  free(page: number, pages: number): void {
    if (pages > MAGAZINE_PAGES) return this.#freeSlow(page, pages, -1);
    const order = magazineOrder(pages);
    if (!this.#cache.putPrevious(page, order)) this.#freeSlow(page, pages, order);
  }

  /** Takes a range for good. @kernel reserve_iova */
  reserve(range: ReservedRange): void {
    this.#lock.with(() => {
      this.#ranges.reserve(Math.floor(range.start / PAGE_SIZE), Math.floor(range.end / PAGE_SIZE) + 1);
    });
  }

  /** Puts the ranges of every task's magazines back. Only on a quiet machine. */
  drain(): void {
    this.#lock.with(() => this.#cache.drain(this.#giveBack));
  }

  /** Puts the ranges in a dead task's magazines back. @throws KernelError EOWNERDEAD when it died with the lock */
  reap(task: number): void {
    this.#lock.with(() => this.#cache.drainOf(task, this.#giveBack));
  }

  /** Pages that are taken and not given back. Exact on a quiet machine. */
  livePages(): number {
    return this.#ranges.total() - this.#ranges.reserved - this.#cache.pages();
  }

  /** Taken ranges as [first, end) pages, those in magazines and reserved ones included. */
  ranges(): [first: number, end: number][] {
    return this.#ranges.list();
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

  #freeSlow(page: number, pages: number, order: number): void {
    this.#lock.with(() => {
      if (order >= 0) this.#cache.putSlow(page, order, this.#giveBack);
      else this.#giveBack(page, pages);
    });
  }
}
