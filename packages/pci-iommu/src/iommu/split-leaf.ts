import { highestOrder, LEVEL_BITS } from './page-sizes.ts';
import type { TableCursor } from './table-cursor.ts';
import { entryBelow, INDEX, lowBits } from './table-entry.ts';
import type { TableStore } from './table-store.ts';

/**
 * Makes the leaves of pages [page, end) no larger than 2^`order` pages. No translation changes at any time: what takes a
 * leaf's place is filled before it is put there. What was written stays so, each of its parts.
 *
 * @param orders - sizes that the domain allows; `order` is one of them
 * @returns how many leaves were split
 * @throws KernelError ENOMEM; leaves that were split already stay so
 * @locks of the domain
 */
export function splitLeaves(
  words: Int32Array,
  cursor: TableCursor,
  store: TableStore,
  orders: number,
  page: number,
  end: number,
  order: number,
): number {
  let count = 0;
  for (let next = page; next < end;) {
    const isLeaf = cursor.seek(next) !== 0;
    cursor.bound();
    const own = 31 - Math.clz32(cursor.pages);
    if (isLeaf && own > order) {
      new LeafSplit(words, store, highestOrder(orders, own - 1)).split(cursor);
      count++;
    } else {
      next += cursor.pages - (lowBits(next) & (cursor.pages - 1));
    }
  }
  return count;
}

/** How one leaf becomes leaves of 2^`order` pages. */
class LeafSplit {
  readonly #words: Int32Array;
  readonly #store: TableStore;
  readonly #order: number;

  constructor(words: Int32Array, store: TableStore, order: number) {
    this.#words = words;
    this.#store = store;
    this.#order = order;
  }

  split({ level, table, from, to, hasJoined }: TableCursor): void {
    const shift = level * LEVEL_BITS;
    const isBelow = this.#order < shift;
    const span = isBelow ? 1 : 1 << (this.#order - shift);
    if (isBelow) for (let i = from; i < to; i++) this.#prepare(table + i, level);
    const isDirty = this.#store.isDirty(table, from);
    for (let i = from; i < to; i++) {
      this.#store.setDirty(table, i, isDirty);
      if (hasJoined) this.#store.join(table, i, (i - from) % span !== 0);
      if (!isBelow) continue;
      this.#fill(this.#store.prepareAside(table + i, level - 1), level - 1, this.#words[table + i]!, isDirty);
      this.#store.swapIn(table + i);
    }
  }

  /** Makes the tables that are needed below an entry. They stay aside when there is no room for all. */
  #prepare(slot: number, level: number): void {
    const table = this.#store.prepareAside(slot, level - 1);
    if (this.#order >= (level - 1) * LEVEL_BITS) return;
    for (let i = 0; i <= INDEX; i++) if (this.#words[table + i] === 0) this.#store.addBehind(table + i, level - 2);
  }

  /** Fills a table, and those below it, with what a leaf one level above stands for. */
  #fill(table: number, level: number, leaf: number, isDirty: boolean): void {
    const shift = level * LEVEL_BITS;
    for (let i = 0; i <= INDEX; i++) {
      const entry = entryBelow(leaf, level + 1, i);
      this.#store.setDirty(table, i, isDirty);
      if (this.#order < shift) this.#fill(this.#words[table + i]!, level - 1, entry, isDirty);
      else this.#store.putLeaf(table + i, level, entry);
      if (this.#order > shift && i % (1 << (this.#order - shift)) !== 0) this.#store.join(table, i, true);
    }
  }
}
