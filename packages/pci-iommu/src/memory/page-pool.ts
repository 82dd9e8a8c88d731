import { i32, KernelError, type Machine, spinLock, spinUnlock, struct, syncPoint } from '@dmabuf-emu/shm';
import { PAGE_SIZE } from './page.ts';

const PoolStruct = struct('pci.page_pool', {
  /** Pages taken from the front so far, or handed back since. */
  next: i32(),
  lock: i32(),
  /** First page of the list of pages given back; each one's first word is the next. 0: none. */
  free: i32(),
  freeCount: i32(),
});

/** How much of the memory that stands behind physical addresses is in use. */
export interface PoolUsage {
  readonly usedPages: number;
  readonly totalPages: number;
}

/**
 * The pages of the arena that stand behind frames once they are touched. A *page* here is a byte offset divided by the page
 * size; 0 means none. Pages come zeroed and, while there are untouched ones, in ascending order.
 */
export class PagePool {
  readonly #machine: Machine;
  readonly #at: number;
  readonly #first: number;
  readonly #total: number;

  /** @param bytes - use at most this much of the machine's memory. */
  constructor(machine: Machine, bytes: number = machine.memoryBytes) {
    this.#machine = machine;
    this.#at = machine.root('pci.page-pool', PoolStruct.$words);
    this.#first = Math.ceil(machine.memoryBase / PAGE_SIZE);
    const end = Math.floor((machine.memoryBase + machine.memoryBytes) / PAGE_SIZE);
    this.#total = Math.max(0, Math.min(end - this.#first, Math.floor(bytes / PAGE_SIZE)));
  }

  /** `count` pages in a row, or 0 when there are none (single pages may be left: see {@link takeOne}). */
  takeRow(count: number): number {
    syncPoint('memory.page');
    const { mem } = this.#machine;
    for (;;) {
      const next = PoolStruct.next.load(mem, this.#at);
      if (next + count > this.#total) return 0;
      if (PoolStruct.next.cas(mem, this.#at, next, next + count) === next) return this.#first + next;
    }
  }

  /**
   * One page.
   * @throws KernelError ENOMEM when all are in use
   */
  takeOne(): number {
    const page = this.takeRow(1) || this.#takeFreed();
    if (page !== 0) return page;
    throw new KernelError(
      'ENOMEM',
      'alloc_page',
      `all ${this.#total} pages behind physical memory are in use (machine option memoryBytes)`,
    );
  }

  /** Hands a page back. Nobody may use it any more. */
  give(page: number): void {
    const { mem } = this.#machine;
    spinLock(this.#machine, this.#at + PoolStruct.lock.at);
    mem.i32[(page * PAGE_SIZE) >>> 2] = PoolStruct.free.get(mem, this.#at);
    PoolStruct.free.store(mem, this.#at, page);
    PoolStruct.freeCount.add(mem, this.#at, 1);
    spinUnlock(this.#machine, this.#at + PoolStruct.lock.at);
  }

  get usage(): PoolUsage {
    const { mem } = this.#machine;
    const used = PoolStruct.next.load(mem, this.#at) - PoolStruct.freeCount.load(mem, this.#at);
    return { usedPages: used, totalPages: this.#total };
  }

  #takeFreed(): number {
    const { mem } = this.#machine;
    if (PoolStruct.free.load(mem, this.#at) === 0) return 0;
    spinLock(this.#machine, this.#at + PoolStruct.lock.at);
    const page = PoolStruct.free.get(mem, this.#at);
    if (page !== 0) {
      PoolStruct.free.store(mem, this.#at, mem.i32[(page * PAGE_SIZE) >>> 2]!);
      PoolStruct.freeCount.sub(mem, this.#at, 1);
    }
    spinUnlock(this.#machine, this.#at + PoolStruct.lock.at);
    if (page !== 0) mem.fill(page * PAGE_SIZE, 0, PAGE_SIZE);
    return page;
  }
}
