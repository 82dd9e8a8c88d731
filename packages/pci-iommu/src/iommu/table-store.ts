import {
  atomicAnd,
  atomicOr,
  atomicStore,
  type Machine,
  type Mem,
  ref,
  type Slab,
  struct,
  words,
} from '@dmabuf-emu/shm';
import { DomainStruct } from './domain-struct.ts';
import { INDEX } from './table-entry.ts';

const ENTRIES = INDEX + 1;
const BIT_WORDS = ENTRIES / 32;

/**
 * A table of the last level: entries, a bit for every entry that goes on with the leaf of the one before it, and one for every
 * leaf that was written, where that is noted.
 */
export const TableStruct = struct('iommu_table', {
  next: ref(),
  entries: words(ENTRIES),
  joined: words(BIT_WORDS),
  dirty: words(BIT_WORDS),
});
/** A table above; where a large leaf took the place of an empty table, that one waits aside. */
export const UpperTableStruct = struct('iommu_upper_table', {
  next: ref(),
  entries: words(ENTRIES),
  joined: words(BIT_WORDS),
  dirty: words(BIT_WORDS),
  aside: words(ENTRIES),
});

const FIRST = TableStruct.entries.at;
const JOINED = TableStruct.joined.at - FIRST;
const DIRTY = TableStruct.dirty.at - FIRST;
const ASIDE = UpperTableStruct.aside.at - FIRST;
const D = DomainStruct;
const SITE = 'iommu.table';

/**
 * The tables of one domain. A table belongs to its place for as long as the domain lives: empty, it stays, and whoever walks
 * through an old entry still finds nothing but what that place has. So walks need no lock.
 *
 * Tables are named by the word of their first entry. The caller holds the domain's lock.
 */
export class TableStore {
  readonly #mem: Mem;
  readonly #words: Int32Array;
  readonly #domain: number;
  readonly #last: Slab;
  readonly #upper: Slab;

  constructor(machine: Machine, domain: number) {
    this.#mem = machine.mem;
    this.#words = machine.mem.i32;
    this.#domain = domain;
    this.#last = machine.slab(TableStruct);
    this.#upper = machine.slab(UpperTableStruct);
  }

  /** The slabs of tables, and the lists of the domain's. */
  get #lists(): readonly (readonly [Slab, typeof D.tables])[] {
    return [
      [this.#last, D.tables],
      [this.#upper, D.upperTables],
    ];
  }

  /** A zeroed table for entries of level `level`; 0 is the last one. @throws KernelError ENOMEM */
  add(level: number): number {
    const isLast = level === 0;
    const slab = isLast ? this.#last : this.#upper;
    const list = isLast ? D.tables : D.upperTables;
    const table = slab.alloc(SITE);
    const at = slab.at(table);
    TableStruct.next.set(this.#mem, at, list.get(this.#mem, this.#domain));
    list.set(this.#mem, this.#domain, table);
    D.tableCount.add(this.#mem, this.#domain, 1);
    return at + FIRST;
  }

  /** Puts a new table behind an empty entry. @throws KernelError ENOMEM */
  addBehind(slot: number, level: number): number {
    const table = this.add(level);
    atomicStore(this.#mem, slot, table);
    return table;
  }

  /** Whether no leaf is below a table of level `level`. */
  isEmpty(table: number, level: number): boolean {
    for (let at = table; at < table + ENTRIES; at++) {
      const entry = this.#words[at]!;
      if (entry !== 0 && (level === 0 || entry < 0 || !this.isEmpty(entry, level - 1))) return false;
    }
    return true;
  }

  /** Puts a leaf into an entry that is empty or has an empty table behind it, which goes aside. */
  putLeaf(slot: number, level: number, leaf: number): void {
    if (level > 0 && this.#words[slot]! > 0) this.#words[slot + ASIDE] = this.#words[slot]!;
    this.#words[slot] = leaf;
  }

  /** Takes a leaf out of an entry; a table that was aside comes back. */
  dropLeaf(slot: number, level: number): void {
    this.#words[slot] = level === 0 ? 0 : this.#words[slot + ASIDE]!;
    if (level > 0) this.#words[slot + ASIDE] = 0;
  }

  /** The table that waits aside of a leaf, made when there is none. @throws KernelError ENOMEM */
  prepareAside(slot: number, level: number): number {
    const waiting = this.#words[slot + ASIDE]!;
    if (waiting !== 0) return waiting;
    const made = this.add(level);
    this.#words[slot + ASIDE] = made;
    return made;
  }

  /** Replaces a leaf by the table aside, whose entries must stand for the same frames. */
  swapIn(slot: number): void {
    const table = this.#words[slot + ASIDE]!;
    this.#words[slot + ASIDE] = 0;
    atomicStore(this.#mem, slot, table);
  }

  /** Whether an entry goes on with the leaf of the entry before it. */
  isJoined(table: number, index: number): boolean {
    return (this.#words[table + JOINED + (index >>> 5)]! & (1 << (index & 31))) !== 0;
  }

  /** Sets what {@link isJoined} tells. */
  join(table: number, index: number, joined: boolean): void {
    const at = table + JOINED + (index >>> 5);
    const bit = 1 << (index & 31);
    if (joined) this.#words[at]! |= bit;
    else this.#words[at]! &= ~bit;
  }

  /** Word of the bit that tells whether the leaf at an entry was written; the bit is the index modulo 32. */
  dirtyWord(table: number, index: number): number {
    return table + DIRTY + (index >>> 5);
  }

  /** Notes whether the leaf at an entry was written. */
  setDirty(table: number, index: number, dirty: boolean): void {
    if (this.isDirty(table, index) === dirty) return;
    const bit = 1 << (index & 31);
    if (dirty) atomicOr(this.#mem, this.dirtyWord(table, index), bit);
    else atomicAnd(this.#mem, this.dirtyWord(table, index), ~bit);
  }

  /** Whether the leaf at an entry was written. */
  isDirty(table: number, index: number): boolean {
    return (this.#words[this.dirtyWord(table, index)]! & (1 << (index & 31))) !== 0;
  }

  /** No leaf was written. */
  cleanAll(): void {
    for (const [slab, list] of this.#lists) {
      for (let table = list.get(this.#mem, this.#domain); table !== 0;) {
        const at = slab.at(table);
        this.#words.fill(0, at + FIRST + DIRTY, at + FIRST + DIRTY + BIT_WORDS);
        table = TableStruct.next.get(this.#mem, at);
      }
    }
  }

  /** How many tables a table and those below it are, those aside of leaves too. */
  count(table: number, level: number): number {
    if (level === 0) return 1;
    let tables = 1;
    for (let slot = table; slot < table + ENTRIES; slot++) {
      const entry = this.#words[slot]!;
      const below = entry > 0 ? entry : this.#words[slot + ASIDE]!;
      if (below !== 0) tables += this.count(below, level - 1);
    }
    return tables;
  }

  /** Gives every table back. The domain must not be walked any more. */
  destroy(): void {
    for (const [slab, list] of this.#lists) {
      for (let table = list.get(this.#mem, this.#domain); table !== 0;) {
        const next = TableStruct.next.get(this.#mem, slab.at(table));
        slab.free(table, SITE);
        table = next;
      }
      list.set(this.#mem, this.#domain, 0);
    }
    D.tableCount.set(this.#mem, this.#domain, 0);
    D.top.store(this.#mem, this.#domain, 0);
  }
}
