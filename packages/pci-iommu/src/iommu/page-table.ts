import { KernelError, type Machine, type Mem, TaskKilled } from '@dmabuf-emu/shm';
import { PAGE_SIZE } from '../memory/page.ts';
import { DirtyLog } from './dirty-log.ts';
import { DomainStruct } from './domain-struct.ts';
import { bestOrder, fewPages, LEVEL_BITS, runOf } from './page-sizes.ts';
import { splitLeaves } from './split-leaf.ts';
import { TableCursor, TOP_LEVEL } from './table-cursor.ts';
import { countBelow, type Leaf, leafOf, leavesBelow } from './table-dump.ts';
import { highBits, INDEX, largeLeaf, lastTable, lowBits, MAX_PAGE_NUMBER, smallLeaf } from './table-entry.ts';
import { TableStore } from './table-store.ts';

const D = DomainStruct;
const TOP = D.top.at;
/** Asked for at every change: a struct with so many fields is slow to look a field up in. */
const MAPPED = D.mapped;

/** What a removal covered: whole pages, large leaves counted in full. */
export interface Removed {
  readonly pages: number;
  /** Page numbers [first, end) whose translations are gone. */
  readonly first: number;
  readonly end: number;
}

/**
 * The page table of one domain: four levels, leaves of every size that the domain allows. A leaf larger than an entry takes
 * several in a row. Entries are written with plain stores: the caller holds the domain's lock and publishes the batch.
 */
export class PageTable {
  readonly #mem: Mem;
  readonly #words: Int32Array;
  readonly #domain: number;
  readonly #store: TableStore;
  /** Pages that devices wrote. */
  readonly dirty: DirtyLog;
  readonly #cursor: TableCursor;
  /** Sizes of leaves, see `ordersOf`. */
  readonly #orders: number;
  /** So many pages are too few for a large leaf. */
  readonly #few: number;
  readonly #collision: 'EADDRINUSE' | 'EEXIST';
  /** First page of the {@link install} under way, and how many pages of it are in place. */
  #first = 0;
  #done = 0;

  /** @param domain - word of the domain's slot */
  constructor(machine: Machine, domain: number) {
    this.#mem = machine.mem;
    this.#words = machine.mem.i32;
    this.#domain = domain;
    this.#store = new TableStore(machine, domain);
    this.#cursor = new TableCursor(machine, domain, this.#store);
    this.dirty = new DirtyLog(machine, domain, this.#store);
    this.#orders = D.orders.get(this.#mem, domain);
    this.#few = fewPages(this.#orders);
    this.#collision = D.arm.get(this.#mem, domain) === 0 ? 'EADDRINUSE' : 'EEXIST';
  }

  /** Makes the top table. @throws KernelError ENOMEM */
  init(): void {
    D.top.set(this.#mem, this.#domain, this.#store.add(TOP_LEVEL));
  }

  /** Gives every table back. The domain must not be walked any more. */
  destroy(): void {
    this.#store.destroy();
  }

  /**
   * {@link install} where a table of the last level is there and holds all of the pages, too few for large leaves: the most
   * common case, without a number above 32 bits.
   * @param low - low 32 bits of the first page's number as an integer, `high` the 4 bits above
   * @returns false, and nothing was done, for other cases and where something is mapped already
   */
  installFew(low: number, high: number, frame: number, pages: number, prot: number): boolean {
    const words = this.#words;
    const index = low & INDEX;
    if (pages > this.#few || index + pages > INDEX + 1 || this.dirty.isOn) return false;
    const table = lastTable(words, words[this.#domain + TOP]!, low, high);
    if (table <= 0) return false;
    const from = table + index;
    let entry = smallLeaf(frame, prot);
    for (let at = from; at < from + pages; at++, entry += 4) {
      if (words[at] !== 0) {
        words.fill(0, from, at);
        return false;
      }
      words[at] = entry;
    }
    this.countMapped(pages);
    return true;
  }

  /**
   * {@link remove} where a table of the last level holds all of the pages.
   * @returns how many were mapped, up to the first hole; -1, and nothing was done, for other cases
   */
  removeFew(low: number, high: number, pages: number): number {
    const words = this.#words;
    const index = low & INDEX;
    if (index + pages > INDEX + 1 || this.#cursor.hasJoined) return -1;
    const table = lastTable(words, words[this.#domain + TOP]!, low, high);
    if (table <= 0) return table === 0 ? 0 : -1;
    const from = table + index;
    let at = from;
    for (; at < from + pages && words[at] !== 0; at++) words[at] = 0;
    this.countMapped(from - at);
    return at - from;
  }

  /**
   * Maps `pages` pages from `page` on to frames from `frame` on, with the largest leaves that fit.
   * @param physical - number of the physical page of `frame`
   * @throws KernelError EADDRINUSE (EEXIST) when one of them is mapped already, ENXIO when no size of leaf fits, ENOMEM without
   * room for tables; nothing stays mapped then
   */
  install(page: number, frame: number, physical: number, pages: number, prot: number): void {
    this.#first = page;
    this.#done = 0;
    try {
      for (let done = 0; done < pages; done = this.#done) {
        this.#installRun(page + done, frame + done, physical + done, pages - done, prot);
      }
    } catch (error) {
      if (!(error instanceof TaskKilled)) this.remove(page, this.#done);
      throw error;
    }
    this.countMapped(pages);
  }

  /**
   * Removes translations of up to `pages` pages from `page` on, and stops at the first hole. A large leaf goes as a whole,
   * also when the range begins or ends inside it.
   */
  remove(page: number, pages: number): Removed {
    const words = this.#words;
    const cursor = this.#cursor;
    const end = page + pages;
    let [removed, next, first] = [0, page, page];
    while (next < end && cursor.seek(next) !== 0) {
      if (cursor.level === 0 && !cursor.hasJoined) {
        const from = cursor.table + cursor.index;
        const stop = from + Math.min(INDEX + 1 - cursor.index, end - next);
        let at = from;
        while (at < stop && words[at] !== 0) words[at++] = 0;
        removed += at - from;
        next += at - from;
        if (at < stop) break;
        continue;
      }
      cursor.bound();
      const start = cursor.firstPage(next);
      if (removed === 0) first = start;
      this.#dropLeaf();
      removed += cursor.pages;
      next = start + cursor.pages;
    }
    return { pages: removed, first, end: Math.max(next, first) };
  }

  /** Splits leaves: see `splitLeaves`. */
  split(page: number, end: number, order: number): number {
    return splitLeaves(this.#words, this.#cursor, this.#store, this.#orders, page, end, order);
  }

  /** The leaf that a page is in; `null` when it is not mapped. */
  leafAt(page: number): Leaf | null {
    const cursor = this.#cursor;
    if (this.#top === 0 || page >= MAX_PAGE_NUMBER || cursor.seek(page) === 0) return null;
    cursor.bound();
    const entry = this.#words[cursor.table + cursor.from]!;
    return leafOf(cursor.firstPage(page), cursor.level, entry, cursor.to - cursor.from);
  }

  /** All leaves in ascending order. For dumps of a quiet machine. */
  *leaves(): Generator<Leaf> {
    if (this.#top !== 0) yield* leavesBelow(this.#words, this.#cursor.hasJoined ? this.#store : null, this.#top);
  }

  /** Number of pages that are mapped, by looking at every table. For checks on a quiet machine. */
  count(): number {
    return this.#top === 0 ? 0 : countBelow(this.#words, this.#top, TOP_LEVEL);
  }

  /** Number of tables, by looking at every one. For checks on a quiet machine. */
  countTables(): number {
    return this.#top === 0 ? 0 : this.#store.count(this.#top, TOP_LEVEL);
  }

  /** Counts pages mapped and removed. The domain's lock is held, so a plain write does. */
  countMapped(pages: number): void {
    MAPPED.set(this.#mem, this.#domain, MAPPED.get(this.#mem, this.#domain) + pages);
  }

  get #top(): number {
    return this.#words[this.#domain + TOP]!;
  }

  /** Leaves of one size, as many as their table holds before a larger size fits. Counts them in `#done`. */
  #installRun(page: number, frame: number, physical: number, pages: number, prot: number): void {
    const low = lowBits(page) | 0;
    const place = physical | 0;
    const order = bestOrder(this.#orders, low | place, pages);
    if (order < 0) throw this.#refuse('ENXIO', `no size of page fits ${pages} pages`);
    const run = runOf(this.#orders, order, low, place, pages);
    const pud = this.#descend(this.#top + ((highBits(page) << 5) | (low >>> 27)), 2);
    if (order >= 2 * LEVEL_BITS) return this.#putLeaves(pud, 2, low, run, largeLeaf(frame, prot), order);
    const pmd = this.#descend(pud + ((low >>> 18) & INDEX), 1);
    if (order >= LEVEL_BITS) return this.#putLeaves(pmd, 1, low, run, largeLeaf(frame, prot), order);
    const table = this.#descend(pmd + ((low >>> 9) & INDEX), 0);
    if (order > 0) this.#putLeaves(table, 0, low, run, smallLeaf(frame, prot), order);
    else this.#putPages(table, low & INDEX, Math.min(run, INDEX + 1 - (low & INDEX)), smallLeaf(frame, prot));
  }

  #putPages(table: number, index: number, count: number, first: number): void {
    let entry = first;
    for (let i = index; i < index + count; i++, entry += 4) {
      if (this.#words[table + i] !== 0) {
        this.#done += i - index;
        throw this.#inUse();
      }
      this.#store.setDirty(table, i, false);
      this.#words[table + i] = entry;
    }
    this.#done += count;
  }

  #putLeaves(table: number, level: number, low: number, run: number, first: number, order: number): void {
    const shift = level * LEVEL_BITS;
    const index = (low >>> shift) & INDEX;
    const count = Math.min(INDEX + 1 - index, run / 2 ** shift);
    const span = 1 << (order - shift);
    const step = level === 2 ? (INDEX + 1) << 2 : 4;
    let entry = first;
    for (let i = index; i < index + count; i += span) {
      for (let k = i; k < i + span; k++) this.#checkFree(table + k, level);
      this.#store.setDirty(table, i, false);
      for (let k = i; k < i + span; k++, entry += step) {
        this.#store.putLeaf(table + k, level, entry);
        if (k > i) this.#store.join(table, k, true);
      }
      this.#done += span * 2 ** shift;
    }
  }

  /** A leaf may take the place of nothing, and of an empty table. */
  #checkFree(slot: number, level: number): void {
    const entry = this.#words[slot]!;
    if (entry !== 0 && (level === 0 || entry < 0 || !this.#store.isEmpty(entry, level - 1))) throw this.#inUse();
  }

  /** The table of level `level` behind an entry, made when there is none. */
  #descend(slot: number, level: number): number {
    const table = this.#words[slot]!;
    if (table > 0) return table;
    if (table < 0) throw this.#inUse();
    return this.#store.addBehind(slot, level);
  }

  /** Empties the entries of the leaf that the cursor bounds. */
  #dropLeaf(): void {
    const { level, table, from, to, hasJoined } = this.#cursor;
    for (let i = from; i < to; i++) {
      this.#store.dropLeaf(table + i, level);
      if (hasJoined) this.#store.join(table, i, false);
    }
  }

  #inUse(): KernelError {
    return this.#refuse(this.#collision, 'it is mapped already');
  }

  #refuse(code: 'EADDRINUSE' | 'EEXIST' | 'ENXIO', why: string): KernelError {
    return new KernelError(
      code,
      'iommu_map',
      `IOVA 0x${((this.#first + this.#done) * PAGE_SIZE).toString(16)}: ${why}`,
    );
  }
}
