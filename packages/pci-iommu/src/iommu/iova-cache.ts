import { isKernelError, kmemSlab, type Machine, MAX_TASKS, type Mem, type Slab } from '@dmabuf-emu/shm';
import { IovaStruct, MAGAZINE_ENTRIES, MAGAZINE_ORDERS, MagazineStruct, TaskCacheStruct } from './iova-struct.ts';

/** Offsets as numbers: a pair of `get` and `put` costs about as much as two loads of a field. */
const COUNT = MagazineStruct.count.at;
const NEXT = MagazineStruct.next.at;
const PAGES = MagazineStruct.pages.at;
const LOADED = TaskCacheStruct.loaded.at;
const PREVIOUS = TaskCacheStruct.previous.at;

/** Takes one freed range out of circulation: first page. */
type GiveBack = (page: number) => void;

/** Ranges of more pages than this are not kept in magazines. */
export const MAGAZINE_PAGES = 1 << (MAGAZINE_ORDERS - 1);

/** Order of the magazine that ranges of `pages` pages go to, up to {@link MAGAZINE_PAGES}. */
export function magazineOrder(pages: number): number {
  return pages <= 1 ? 0 : 32 - Math.clz32(pages - 1);
}

/**
 * Freed IOVAs of 1 to 32 pages, kept by each task for its own next allocation: what was freed last is given out first. Full
 * magazines move between tasks through a depot.
 *
 * A task's magazines are touched by that task alone; the depot by whoever holds the space's lock. Magazines are known by
 * their word; 0 is none.
 *
 * @kernel struct iova_rcache
 */
export class IovaCache {
  readonly #machine: Machine;
  readonly #mem: Mem;
  readonly #i32: Int32Array;
  readonly #f64: Float64Array;
  readonly #p: number;
  readonly #magazines: Slab;
  readonly #tasks: Slab;
  /** Word of this task's cache; 0 until it is needed. */
  #mine = 0;

  /** @param p - word of the space's slot */
  constructor(machine: Machine, p: number) {
    this.#machine = machine;
    this.#mem = machine.mem;
    this.#i32 = machine.mem.i32;
    this.#f64 = machine.mem.f64;
    this.#p = p;
    this.#magazines = machine.slab(MagazineStruct);
    this.#tasks = machine.slab(TaskCacheStruct);
  }

  /** @throws KernelError ENOMEM */
  init(): void {
    const slab = kmemSlab(this.#machine, MAX_TASKS);
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
    kmemSlab(this.#machine, MAX_TASKS).free(slot, 'iova.caches');
  }

  /**
   * The newest freed range of `1 << order` pages, if it is below page `limit`; 0: see {@link getPrevious}.
   * @kernel iova_rcache_get
   */
  get(order: number, limit: number): number {
    const words = this.#i32;
    if (this.#mine === 0) return 0;
    const loaded = words[this.#mine + LOADED + order]!;
    if (loaded === 0) return 0;
    const count = words[loaded + COUNT]! - 1;
    if (count < 0) return 0;
    const page = this.#f64[((loaded + PAGES) >>> 1) + count]!;
    if (page + (1 << order) > limit) return 0;
    words[loaded + COUNT] = count;
    return page;
  }

  /** Keeps a freed range; false when there is no room for it: see {@link putPrevious}. @kernel iova_rcache_insert */
  put(page: number, order: number): boolean {
    const words = this.#i32;
    if (this.#mine === 0) return false;
    const loaded = words[this.#mine + LOADED + order]!;
    if (loaded === 0) return false;
    const count = words[loaded + COUNT]!;
    if (count === MAGAZINE_ENTRIES) return false;
    this.#f64[((loaded + PAGES) >>> 1) + count] = page;
    words[loaded + COUNT] = count + 1;
    return true;
  }

  /** {@link get} with a choice: from the previous magazine if the loaded one is empty, and not only the newest range. */
  getPrevious(order: number, limit: number): number {
    const words = this.#i32;
    const task = this.#task();
    if (task === 0) return 0;
    let magazine = words[task + LOADED + order]!;
    if (magazine === 0 || words[magazine + COUNT] === 0) {
      const previous = words[task + PREVIOUS + order]!;
      if (previous === 0 || words[previous + COUNT] === 0) return 0;
      words[task + PREVIOUS + order] = magazine;
      words[task + LOADED + order] = previous;
      magazine = previous;
    }
    return this.#takeBelow(magazine, order, limit);
  }

  /** {@link put} into the previous magazine if the loaded one is full; false without room: see {@link putSlow}. */
  putPrevious(page: number, order: number): boolean {
    const words = this.#i32;
    const task = this.#task();
    const loaded = task === 0 ? 0 : words[task + LOADED + order]!;
    if (loaded === 0) return false;
    if (words[loaded + COUNT] === MAGAZINE_ENTRIES) {
      const previous = words[task + PREVIOUS + order]!;
      if (previous === 0 || words[previous + COUNT] === MAGAZINE_ENTRIES) return false;
      words[task + PREVIOUS + order] = loaded;
      words[task + LOADED + order] = previous;
    }
    return this.put(page, order);
  }

  /**
   * {@link put} with the space's lock held: moves a full magazine to the depot. Needs no memory to succeed: without any, the
   * range itself goes back.
   * @returns whether the depot grew
   */
  putSlow(page: number, order: number, giveBack: GiveBack): boolean {
    const words = this.#i32;
    const task = this.#task();
    const fresh = task === 0 ? 0 : this.#newMagazine();
    if (fresh === 0) {
      giveBack(page);
      return false;
    }
    const loaded = words[task + LOADED + order]!;
    const isFirst = words[task + PREVIOUS + order] === 0;
    if (isFirst) words[task + PREVIOUS + order] = loaded;
    else if (loaded !== 0) this.#retire(loaded, order);
    words[task + LOADED + order] = fresh;
    this.#push(fresh, page);
    return !isFirst && loaded !== 0;
  }

  /** With the space's lock held: takes a full magazine from the depot when this task has no entries. True when it did. */
  refill(order: number): boolean {
    const words = this.#i32;
    const task = this.#task();
    if (task === 0) return false;
    const empty = words[task + LOADED + order]!;
    if (empty !== 0 && words[empty + COUNT] !== 0) return false;
    const magazine = this.#unretire(order);
    if (magazine === 0) return false;
    if (empty !== 0) this.#free(empty);
    words[task + LOADED + order] = magazine;
    return true;
  }

  /** Full magazines in the depot. */
  depotOf(order: number): number {
    return IovaStruct.depotCount.get(this.#mem, this.#p, order);
  }

  /** With the space's lock held: the ranges of one of the depot's magazines go back. */
  trim(order: number, giveBack: GiveBack): void {
    this.#empty(this.#unretire(order), giveBack);
  }

  /** With the space's lock held: the depot's and this task's ranges go back. @kernel free_cpu_cached_iovas, free_global_cached_iovas */
  flushMine(giveBack: GiveBack): void {
    this.#drainDepot(giveBack);
    const task = this.#task();
    if (task !== 0) this.#drainTask(task, giveBack);
  }

  /** With the space's lock held: the ranges of a dead task go back. */
  drainOf(tid: number, giveBack: GiveBack): void {
    const task = this.#i32[IovaStruct.cachesAt.get(this.#mem, this.#p) + tid - 1]!;
    if (task !== 0) this.#drainTask(this.#tasks.at(task), giveBack);
  }

  /** All ranges of all magazines go back. Only on a quiet machine. */
  drain(giveBack: GiveBack): void {
    this.#drainDepot(giveBack);
    for (const task of this.#allTasks()) this.#drainTask(this.#tasks.at(task), giveBack);
  }

  /** Pages in magazines. Exact on a quiet machine. */
  pages(): number {
    let pages = 0;
    for (let order = 0; order < MAGAZINE_ORDERS; order++) {
      for (let at = IovaStruct.depot.get(this.#mem, this.#p, order); at !== 0; at = this.#i32[at + NEXT]!) {
        pages += this.#i32[at + COUNT]! << order;
      }
      for (const task of this.#allTasks()) {
        const p = this.#tasks.at(task);
        for (const magazine of [this.#i32[p + LOADED + order]!, this.#i32[p + PREVIOUS + order]!]) {
          if (magazine !== 0) pages += this.#i32[magazine + COUNT]! << order;
        }
      }
    }
    return pages;
  }

  /** Word of this task's cache; 0 when there is no memory for one, which only makes things slower. */
  #task(): number {
    if (this.#mine !== 0) return this.#mine;
    const entry = IovaStruct.cachesAt.get(this.#mem, this.#p) + this.#machine.tid - 1;
    let task = this.#i32[entry]!;
    if (task === 0) {
      task = orNull(() => this.#tasks.alloc('must:iova.cache'));
      if (task === 0) return 0;
      this.#i32[entry] = task;
    }
    this.#mine = this.#tasks.at(task);
    return this.#mine;
  }

  #allTasks(): number[] {
    const at = IovaStruct.cachesAt.get(this.#mem, this.#p);
    return Array.from(this.#i32.subarray(at, at + MAX_TASKS)).filter((task) => task !== 0);
  }

  /** Takes the newest entry that ends below `limit`; 0 when there is none. @kernel iova_magazine_pop */
  #takeBelow(magazine: number, order: number, limit: number): number {
    const last = this.#i32[magazine + COUNT]! - 1;
    const base = (magazine + PAGES) >>> 1;
    for (let i = last; i >= 0; i--) {
      const page = this.#f64[base + i]!;
      if (page + (1 << order) > limit) continue;
      this.#f64[base + i] = this.#f64[base + last]!;
      this.#i32[magazine + COUNT] = last;
      return page;
    }
    return 0;
  }

  #push(magazine: number, page: number): void {
    const count = this.#i32[magazine + COUNT]!;
    this.#f64[((magazine + PAGES) >>> 1) + count] = page;
    this.#i32[magazine + COUNT] = count + 1;
  }

  /** Puts a magazine into the depot. @kernel iova_depot_push */
  #retire(magazine: number, order: number): void {
    const kept = IovaStruct.depotCount.get(this.#mem, this.#p, order);
    this.#i32[magazine + NEXT] = IovaStruct.depot.get(this.#mem, this.#p, order);
    IovaStruct.depot.set(this.#mem, this.#p, order, magazine);
    IovaStruct.depotCount.set(this.#mem, this.#p, order, kept + 1);
  }

  /** Takes a magazine out of the depot; 0 when there is none. @kernel iova_depot_pop */
  #unretire(order: number): number {
    const magazine = IovaStruct.depot.get(this.#mem, this.#p, order);
    if (magazine === 0) return 0;
    IovaStruct.depot.set(this.#mem, this.#p, order, this.#i32[magazine + NEXT]!);
    IovaStruct.depotCount.set(this.#mem, this.#p, order, this.depotOf(order) - 1);
    return magazine;
  }

  #empty(magazine: number, giveBack: GiveBack): void {
    if (magazine === 0) return;
    const base = (magazine + PAGES) >>> 1;
    for (let i = 0; i < this.#i32[magazine + COUNT]!; i++) giveBack(this.#f64[base + i]!);
    this.#free(magazine);
  }

  #drainTask(task: number, giveBack: GiveBack): void {
    for (let order = 0; order < MAGAZINE_ORDERS; order++) {
      for (const at of [task + LOADED + order, task + PREVIOUS + order]) {
        this.#empty(this.#i32[at]!, giveBack);
        this.#i32[at] = 0;
      }
    }
  }

  #drainDepot(giveBack: GiveBack): void {
    for (let order = 0; order < MAGAZINE_ORDERS; order++) while (this.depotOf(order) > 0) this.trim(order, giveBack);
  }

  /** Word of an empty magazine; 0 without memory. */
  #newMagazine(): number {
    const magazine = orNull(() => this.#magazines.allocRaw('must:iova.magazine'));
    if (magazine === 0) return 0;
    const at = this.#magazines.at(magazine);
    this.#i32[at + COUNT] = 0;
    this.#i32[at + NEXT] = 0;
    MagazineStruct.self.set(this.#mem, at, magazine);
    return at;
  }

  #free(magazine: number): void {
    this.#magazines.free(MagazineStruct.self.get(this.#mem, magazine), 'iova.magazine');
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
