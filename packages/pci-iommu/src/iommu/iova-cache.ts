import { isKernelError, kmemSlab, type Machine, type Mem, type Slab } from '@dmabuf-emu/shm';
import { IovaStruct, MAGAZINE_ENTRIES, MAGAZINE_ORDERS, MagazineStruct, TaskCacheStruct } from './domain-struct.ts';

/** Most tasks of a machine; their ids are 1 to this. */
const TASKS = 255;
/** Full magazines of one size that a space keeps; more go back to the ranges. */
const MAX_DEPOT = 32;

/** Takes one freed range out of circulation: first page, pages. */
type GiveBack = (page: number, pages: number) => void;

/** Order of the magazine that ranges of `pages` pages go to; -1 for sizes that are not cached. */
export function magazineOrder(pages: number): number {
  const order = pages <= 1 ? 0 : 32 - Math.clz32(pages - 1);
  return order < MAGAZINE_ORDERS ? order : -1;
}

/**
 * Freed IOVAs of 1 to 32 pages, kept by each task for its own next allocation: what was freed last is given out first. Full
 * magazines move between tasks through a depot.
 *
 * A task's magazines are touched by that task alone; the depot by whoever holds the space's lock.
 *
 * @kernel struct iova_rcache
 */
export class IovaCache {
  readonly #machine: Machine;
  readonly #mem: Mem;
  readonly #p: number;
  readonly #magazines: Slab;
  readonly #tasks: Slab;
  #mine = 0;

  /** @param p - word of the space's slot */
  constructor(machine: Machine, p: number) {
    this.#machine = machine;
    this.#mem = machine.mem;
    this.#p = p;
    this.#magazines = machine.slab(MagazineStruct);
    this.#tasks = machine.slab(TaskCacheStruct);
  }

  /** @throws KernelError ENOMEM */
  init(): void {
    const slab = kmemSlab(this.#machine, TASKS);
    const slot = slab.alloc('iova.caches');
    IovaStruct.caches.set(this.#mem, this.#p, slot);
    IovaStruct.cachesAt.set(this.#mem, this.#p, slab.at(slot) + 1);
  }

  /** Gives all memory back; the ranges in the magazines are forgotten. */
  destroy(): void {
    const slot = IovaStruct.caches.get(this.#mem, this.#p);
    if (slot === 0) return;
    this.drain(() => undefined);
    for (const task of this.#allTasks()) this.#tasks.free(task, 'iova.cache');
    kmemSlab(this.#machine, TASKS).free(slot, 'iova.caches');
  }

  /** The newest freed range of `1 << order` pages below page `limit`, or 0. @kernel iova_rcache_get */
  get(order: number, limit: number): number {
    const task = this.#task();
    if (task === 0) return 0;
    const pages = 1 << order;
    let magazine = this.#loaded(task, order);
    if (this.#countOf(magazine) === 0) {
      const previous = TaskCacheStruct.previous.get(this.#mem, task, order);
      if (this.#countOf(previous) === 0) return 0;
      TaskCacheStruct.previous.set(this.#mem, task, order, magazine);
      TaskCacheStruct.loaded.set(this.#mem, task, order, previous);
      magazine = previous;
    }
    const page = this.#pop(this.#magazines.at(magazine), pages, limit);
    if (page !== 0) this.#addLive(task, pages);
    return page;
  }

  /** Keeps a freed range; false when there is no room for it: see {@link putSlow}. @kernel iova_rcache_insert */
  put(page: number, order: number): boolean {
    const task = this.#task();
    let magazine = task === 0 ? 0 : this.#loaded(task, order);
    if (magazine === 0) return false;
    if (this.#countOf(magazine) === MAGAZINE_ENTRIES) {
      const previous = TaskCacheStruct.previous.get(this.#mem, task, order);
      if (previous === 0 || this.#countOf(previous) === MAGAZINE_ENTRIES) return false;
      TaskCacheStruct.previous.set(this.#mem, task, order, magazine);
      TaskCacheStruct.loaded.set(this.#mem, task, order, previous);
      magazine = previous;
    }
    this.#push(this.#magazines.at(magazine), page);
    this.#addLive(task, -(1 << order));
    return true;
  }

  /**
   * {@link put} with the space's lock held: moves a full magazine to the depot, or back to the ranges when that is full too.
   * Needs no memory to succeed: without any, the range itself goes back.
   */
  putSlow(page: number, order: number, giveBack: GiveBack): void {
    const task = this.#task();
    this.#addLive(task, -(1 << order));
    if (task === 0) return giveBack(page, 1 << order);
    const loaded = this.#loaded(task, order);
    if (TaskCacheStruct.previous.get(this.#mem, task, order) === 0)
      TaskCacheStruct.previous.set(this.#mem, task, order, loaded);
    else this.#retire(loaded, order, giveBack);
    const fresh = orNull(() => this.#magazines.alloc('must:iova.magazine'));
    TaskCacheStruct.loaded.set(this.#mem, task, order, fresh);
    if (fresh === 0) giveBack(page, 1 << order);
    else this.#push(this.#magazines.at(fresh), page);
  }

  /** With the space's lock held: takes a full magazine from the depot when this task has no entries. True when it did. */
  refill(order: number): boolean {
    const magazine = IovaStruct.depot.get(this.#mem, this.#p, order);
    const task = this.#task();
    if (magazine === 0 || task === 0 || this.#countOf(this.#loaded(task, order)) !== 0) return false;
    IovaStruct.depot.set(this.#mem, this.#p, order, MagazineStruct.next.get(this.#mem, this.#magazines.at(magazine)));
    IovaStruct.depotCount.set(this.#mem, this.#p, order, IovaStruct.depotCount.get(this.#mem, this.#p, order) - 1);
    const empty = this.#loaded(task, order);
    if (empty !== 0) this.#magazines.free(empty, 'iova.magazine');
    TaskCacheStruct.loaded.set(this.#mem, task, order, magazine);
    return true;
  }

  /** With the space's lock held: the depot's and this task's ranges go back. @kernel free_cpu_cached_iovas, free_global_cached_iovas */
  flushMine(giveBack: GiveBack): void {
    this.#drainDepot(giveBack);
    const task = this.#task();
    if (task !== 0) this.#drainTask(task, giveBack);
  }

  /** With the space's lock held: the ranges of a dead task go back. */
  drainOf(tid: number, giveBack: GiveBack): void {
    const task = this.#mem.i32[IovaStruct.cachesAt.get(this.#mem, this.#p) + tid - 1]!;
    if (task !== 0) this.#drainTask(this.#tasks.at(task), giveBack);
  }

  /** All ranges of all magazines go back. Only on a quiet machine. */
  drain(giveBack: GiveBack): void {
    this.#drainDepot(giveBack);
    for (const task of this.#allTasks()) this.#drainTask(this.#tasks.at(task), giveBack);
  }

  /** With the space's lock held: notes pages that were allocated (or, negative, freed) past the magazines. */
  countPast(pages: number): void {
    this.#addLive(this.#task(), pages);
  }

  /** Pages allocated and not freed, by all tasks. Exact on a quiet machine. */
  live(): number {
    const shared = IovaStruct.live.get(this.#mem, this.#p);
    return this.#allTasks().reduce(
      (sum, task) => sum + TaskCacheStruct.live.get(this.#mem, this.#tasks.at(task)),
      shared,
    );
  }

  /** Word of this task's cache; 0 when there is no memory for one, which only makes things slower. */
  #task(): number {
    if (this.#mine !== 0) return this.#mine;
    const entry = IovaStruct.cachesAt.get(this.#mem, this.#p) + this.#machine.tid - 1;
    let task = this.#mem.i32[entry]!;
    if (task === 0) {
      task = orNull(() => this.#tasks.alloc('must:iova.cache'));
      if (task === 0) return 0;
      this.#mem.i32[entry] = task;
    }
    this.#mine = this.#tasks.at(task);
    return this.#mine;
  }

  #allTasks(): number[] {
    const at = IovaStruct.cachesAt.get(this.#mem, this.#p);
    return Array.from(this.#mem.i32.subarray(at, at + TASKS)).filter((task) => task !== 0);
  }

  #loaded(task: number, order: number): number {
    return TaskCacheStruct.loaded.get(this.#mem, task, order);
  }

  #countOf(magazine: number): number {
    return magazine === 0 ? 0 : MagazineStruct.count.get(this.#mem, this.#magazines.at(magazine));
  }

  /** Removes the newest entry that ends below `limit`; 0 when there is none. @kernel iova_magazine_pop */
  #pop(at: number, pages: number, limit: number): number {
    const { f64 } = this.#mem;
    const last = MagazineStruct.count.get(this.#mem, at) - 1;
    const base = (at + MagazineStruct.pages.at) >>> 1;
    for (let i = last; i >= 0; i--) {
      const page = f64[base + i]!;
      if (page + pages > limit) continue;
      f64[base + i] = f64[base + last]!;
      MagazineStruct.count.set(this.#mem, at, last);
      return page;
    }
    return 0;
  }

  #push(at: number, page: number): void {
    const count = MagazineStruct.count.get(this.#mem, at);
    this.#mem.f64[((at + MagazineStruct.pages.at) >>> 1) + count] = page;
    MagazineStruct.count.set(this.#mem, at, count + 1);
  }

  /** Puts a magazine into the depot, or its entries back. */
  #retire(magazine: number, order: number, giveBack: GiveBack): void {
    if (magazine === 0) return;
    const at = this.#magazines.at(magazine);
    const kept = IovaStruct.depotCount.get(this.#mem, this.#p, order);
    if (kept >= MAX_DEPOT || MagazineStruct.count.get(this.#mem, at) < MAGAZINE_ENTRIES) {
      this.#empty(magazine, order, giveBack);
      return;
    }
    MagazineStruct.next.set(this.#mem, at, IovaStruct.depot.get(this.#mem, this.#p, order));
    IovaStruct.depot.set(this.#mem, this.#p, order, magazine);
    IovaStruct.depotCount.set(this.#mem, this.#p, order, kept + 1);
  }

  #empty(magazine: number, order: number, giveBack: GiveBack): void {
    if (magazine === 0) return;
    const at = this.#magazines.at(magazine);
    const base = (at + MagazineStruct.pages.at) >>> 1;
    for (let i = 0; i < MagazineStruct.count.get(this.#mem, at); i++) giveBack(this.#mem.f64[base + i]!, 1 << order);
    this.#magazines.free(magazine, 'iova.magazine');
  }

  #drainTask(task: number, giveBack: GiveBack): void {
    for (let order = 0; order < MAGAZINE_ORDERS; order++) {
      this.#empty(this.#loaded(task, order), order, giveBack);
      this.#empty(TaskCacheStruct.previous.get(this.#mem, task, order), order, giveBack);
      TaskCacheStruct.loaded.set(this.#mem, task, order, 0);
      TaskCacheStruct.previous.set(this.#mem, task, order, 0);
    }
  }

  #drainDepot(giveBack: GiveBack): void {
    for (let order = 0; order < MAGAZINE_ORDERS; order++) {
      for (let magazine = IovaStruct.depot.get(this.#mem, this.#p, order); magazine !== 0;) {
        const next = MagazineStruct.next.get(this.#mem, this.#magazines.at(magazine));
        this.#empty(magazine, order, giveBack);
        magazine = next;
      }
      IovaStruct.depot.set(this.#mem, this.#p, order, 0);
      IovaStruct.depotCount.set(this.#mem, this.#p, order, 0);
    }
  }

  #addLive(task: number, pages: number): void {
    const at = task === 0 ? this.#p + IovaStruct.live.at : task + TaskCacheStruct.live.at;
    this.#mem.f64[at >>> 1]! += pages;
  }
}

/** The slot that `alloc` gives, or 0 when there is no memory. */
function orNull(alloc: () => number): number {
  try {
    return alloc();
  } catch (error) {
    if (isKernelError(error, 'ENOMEM')) return 0;
    throw error;
  }
}
