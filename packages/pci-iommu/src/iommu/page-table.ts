import { atomicStore, KernelError, type Machine, type Mem, type Slab, TaskKilled } from '@dmabuf-emu/shm';
import { DomainStruct, TableStruct } from './domain-struct.ts';

/**
 * Entry of a page table, one Int32: upper levels hold the word of the next table; at the last level
 * `frame << 2 | READ | WRITE`. One level above the last, a negative entry is a large leaf: `1 << 31 | (frame >> 9) << 2 | prot`.
 * 0 is "nothing".
 */
const LARGE = -0x8000_0000;
const INDEX = 511;
const ENTRIES = TableStruct.entries.at;
const TOP = DomainStruct.top.at;
const MAPPED = DomainStruct.mapped.at;
const HIGH = 2 ** 32;
/** Page numbers have 36 bits. */
export const MAX_PAGE_NUMBER = 2 ** 36;

/** Low 32 and high 4 bits of a page number. */
export function lowBits(page: number): number {
  return page >>> 0;
}

export function highBits(page: number): number {
  return (page / HIGH) | 0;
}

/** Frame number in a (4 KiB) entry. */
export function entryFrame(entry: number): number {
  return entry >>> 2;
}

/**
 * Walks four levels and returns the 4 KiB entry of a page, or 0. Lock-free; sees every batch of changes that was published
 * before the caller heard of it.
 */
export function walkEntry(words: Int32Array, top: number, low: number, high: number): number {
  let table = words[top + ((high << 5) | (low >>> 27))]!;
  if (table === 0) return 0;
  table = words[table + ((low >>> 18) & INDEX)]!;
  if (table === 0) return 0;
  table = words[table + ((low >>> 9) & INDEX)]!;
  if (table > 0) return words[table + (low & INDEX)]!;
  return table === 0 ? 0 : smallEntry(table, low);
}

/** The 4 KiB entry that a large leaf stands for at a page. */
function smallEntry(leaf: number, low: number): number {
  return (((leaf & ~LARGE) >>> 2) << 11) | ((low & INDEX) << 2) | (leaf & 3);
}

/** What a removal covered: whole pages, large leaves counted in full. */
export interface Removed {
  readonly pages: number;
  /** Page numbers [first, end) whose translations are gone. */
  readonly first: number;
  readonly end: number;
}

/**
 * The page table of one domain. Entries are written with plain stores: the caller holds the domain's lock and publishes the
 * batch. Tables are only given back with the domain, so that walks need no lock.
 */
export class PageTable {
  readonly #mem: Mem;
  readonly #words: Int32Array;
  readonly #slab: Slab;
  readonly #domain: number;

  /** @param domain - word of the domain's slot */
  constructor(machine: Machine, domain: number) {
    this.#mem = machine.mem;
    this.#words = machine.mem.i32;
    this.#slab = machine.slab(TableStruct);
    this.#domain = domain;
  }

  /**
   * Maps `pages` pages from `page` on to frames from `frame` on, large leaves where both line up.
   * @throws KernelError EADDRINUSE when one of them is mapped already, ENOMEM without room for tables; nothing stays mapped then
   */
  install(page: number, frame: number, pages: number, prot: number): void {
    let done = 0;
    try {
      while (done < pages) done += this.#installLeaf(page + done, frame + done, pages - done, prot, done);
    } catch (error) {
      if (!(error instanceof TaskKilled)) this.remove(page, this.#partial);
      throw error;
    }
    this.countMapped(pages);
  }

  /** Pages of the failed {@link install} that are in place. */
  #partial = 0;

  /**
   * Removes translations of up to `pages` pages from `page` on, and stops at the first hole. A large leaf goes as a whole,
   * also when the range begins or ends inside it.
   */
  remove(page: number, pages: number): Removed {
    const words = this.#mem.i32;
    let [removed, at, first] = [0, page, page];
    while (at < page + pages) {
      const slot = this.#find(at);
      const entry = slot === 0 ? 0 : words[slot]!;
      if (entry === 0) break;
      if (entry < 0) {
        const start = at - (at % 512);
        if (removed === 0) first = start;
        words[slot] = 0;
        removed += 512;
        at = start + 512;
        continue;
      }
      const index = lowBits(at) & INDEX;
      const end = Math.min(512, index + page + pages - at);
      let i = index;
      for (; i < end && words[entry + i] !== 0; i++) words[entry + i] = 0;
      removed += i - index;
      at += i - index;
      if (i < end) break;
    }
    return { pages: removed, first, end: Math.max(at, first) };
  }

  /** Counts pages mapped and removed. The domain's lock is held, so a plain write does. */
  countMapped(pages: number): void {
    this.#mem.i32[this.#domain + MAPPED]! += pages;
  }

  /** Number of pages that are mapped, by looking at every table. For checks on a quiet machine. */
  count(): number {
    const top = DomainStruct.top.get(this.#mem, this.#domain);
    return top === 0 ? 0 : this.#countBelow(top, 3);
  }

  /** Gives every table back. The domain must not be walked any more. */
  destroy(): void {
    for (let table = DomainStruct.tables.get(this.#mem, this.#domain); table !== 0;) {
      const next = TableStruct.next.get(this.#mem, this.#slab.at(table));
      this.#slab.free(table, 'iommu.table');
      table = next;
    }
    DomainStruct.tables.set(this.#mem, this.#domain, 0);
    DomainStruct.tableCount.set(this.#mem, this.#domain, 0);
    DomainStruct.top.store(this.#mem, this.#domain, 0);
  }

  /** A zeroed table that belongs to the domain: the word of its first entry. @throws KernelError ENOMEM */
  addTable(): number {
    const table = this.#slab.alloc('iommu.table');
    const at = this.#slab.at(table);
    TableStruct.next.set(this.#mem, at, DomainStruct.tables.get(this.#mem, this.#domain));
    DomainStruct.tables.set(this.#mem, this.#domain, table);
    DomainStruct.tableCount.add(this.#mem, this.#domain, 1);
    return at + ENTRIES;
  }

  /** Writes one large leaf, or the entries of one last-level table. Returns how many pages. `before` were done already. */
  #installLeaf(page: number, frame: number, pages: number, prot: number, before: number): number {
    const words = this.#words;
    this.#partial = before;
    const low = lowBits(page) | 0;
    let table = this.#descend(words[this.#domain + TOP]! + ((highBits(page) << 5) | (low >>> 27)));
    table = this.#descend(table + ((low >>> 18) & INDEX));
    const slot = table + ((low >>> 9) & INDEX);
    const index = low & INDEX;
    if (words[slot]! < 0) throw inUse(page);
    if (words[slot] === 0 && index === 0 && (frame & INDEX) === 0 && pages >= 512) {
      words[slot] = LARGE | ((frame >>> 9) << 2) | prot;
      return 512;
    }
    const leaf = this.#descend(slot) + index;
    const count = pages < 512 - index ? pages : 512 - index;
    let entry = (frame << 2) | prot;
    for (let at = leaf; at < leaf + count; at++, entry += 4) {
      if (words[at] !== 0) {
        this.#partial = before + at - leaf;
        throw inUse(page + at - leaf);
      }
      words[at] = entry;
    }
    return count;
  }

  /** The table behind an entry, made when there is none. */
  #descend(slot: number): number {
    const table = this.#words[slot]!;
    if (table !== 0) return table;
    const made = this.addTable();
    atomicStore(this.#mem, slot, made);
    return made;
  }

  /** Word of the entry one level above the last that covers a page; 0 when the tables do not reach that far. */
  #find(page: number): number {
    const words = this.#mem.i32;
    const [low, high] = [lowBits(page), highBits(page)];
    const second = words[words[this.#domain + TOP]! + ((high << 5) | (low >>> 27))]!;
    if (second === 0) return 0;
    const third = words[second + ((low >>> 18) & INDEX)]!;
    return third === 0 ? 0 : third + ((low >>> 9) & INDEX);
  }

  #countBelow(table: number, level: number): number {
    const words = this.#mem.i32;
    let pages = 0;
    for (let i = 0; i < 512; i++) {
      const entry = words[table + i]!;
      if (entry === 0) continue;
      if (level === 0) pages++;
      else pages += entry < 0 ? 512 : this.#countBelow(entry, level - 1);
    }
    return pages;
  }
}

function inUse(page: number): KernelError {
  return new KernelError('EADDRINUSE', 'iommu_map', `IOVA 0x${(page * 4096).toString(16)} is mapped already`);
}
