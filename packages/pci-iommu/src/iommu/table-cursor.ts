import type { Machine } from '@dmabuf-emu/shm';
import { DomainStruct } from './domain-struct.ts';
import { hasJoined, LEVEL_BITS } from './page-sizes.ts';
import { highBits, INDEX, lowBits } from './table-entry.ts';
import type { TableStore } from './table-store.ts';

const TOP = DomainStruct.top.at;
/** Level of the top table's entries; 0 is the last level. */
export const TOP_LEVEL = 3;

/** A place in a domain's page table: an entry, and the entries [from, to) of the leaf that it belongs to. */
export class TableCursor {
  level = 0;
  table = 0;
  index = 0;
  from = 0;
  to = 0;
  /** Whether there may be leaves that take several entries. */
  readonly hasJoined: boolean;
  readonly #words: Int32Array;
  readonly #domain: number;
  readonly #store: TableStore;

  /** @param domain - word of the domain's slot */
  constructor(machine: Machine, domain: number, store: TableStore) {
    this.#words = machine.mem.i32;
    this.#domain = domain;
    this.#store = store;
    this.hasJoined = hasJoined(DomainStruct.orders.get(machine.mem, domain));
  }

  /** Goes to the entry that decides about a page and returns it: a leaf, or 0 where nothing is. */
  seek(page: number): number {
    const words = this.#words;
    const low = lowBits(page) | 0;
    let level = TOP_LEVEL;
    let table = words[this.#domain + TOP]!;
    let index = (highBits(page) << 5) | (low >>> 27);
    let entry = words[table + index]!;
    while (entry > 0 && level > 0) {
      level--;
      table = entry;
      index = (low >>> (level * LEVEL_BITS)) & INDEX;
      entry = words[table + index]!;
    }
    this.level = level;
    this.table = table;
    this.index = index;
    return entry;
  }

  /** Finds the first and the last entry of the leaf. */
  bound(): void {
    this.from = this.index;
    this.to = this.index + 1;
    if (!this.hasJoined || this.level === TOP_LEVEL) return;
    while (this.from > 0 && this.#store.isJoined(this.table, this.from)) this.from--;
    while (this.to <= INDEX && this.#store.isJoined(this.table, this.to)) this.to++;
  }

  /** Pages of the entries between {@link bound}s. */
  get pages(): number {
    return (this.to - this.from) * 2 ** (this.level * LEVEL_BITS);
  }

  /** The first page of the leaf, whose bounds were found. @param page - the one that was sought */
  firstPage(page: number): number {
    const shift = this.level * LEVEL_BITS;
    return page - (lowBits(page) & ((1 << shift) - 1)) - (this.index - this.from) * 2 ** shift;
  }
}
