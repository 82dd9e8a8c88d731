import {
  atomicAdd,
  atomicCas,
  atomicLoad,
  atomicStore,
  type Machine,
  type Mem,
  spinLock,
  spinUnlock,
  syncPoint,
} from '@dmabuf-emu/shm';

/** Words of the header: fill lock, invalidations so far, hits, misses. Then two words an entry. */
const LOCK = 0;
const SEQUENCE = 1;
const HITS = 2;
const MISSES = 3;
/** Something may be cached. */
const FILLED = 4;
const HEADER_WORDS = 8;
const TAG_MIX = 0x9e37_79b1;
const ENTRY_MIX = 0x85eb_ca6b;
/** A tag has 32 bits, a page number 36: at least 4 of them must choose the set. */
export const MIN_SETS = 16;

/** What an IOTLB counted. Hits and misses are approximate while several threads translate at the same time. */
export interface IotlbStats {
  readonly hits: number;
  readonly misses: number;
  readonly invalidations: number;
}

/**
 * A set-associative cache of translations in the arena, shared by every thread that translates in its domain. As on real
 * hardware, an entry outlives its page-table entry until it is invalidated.
 *
 * An entry's first word is its tag and its second word mixed together, so a reader that sees halves of two entries sees no
 * entry. A fill that began before an invalidation is thrown away.
 */
export class Iotlb {
  readonly #machine: Machine;
  readonly #mem: Mem;
  readonly #i32: Int32Array;
  readonly #at: number;
  readonly #entries: number;
  readonly #sets: number;
  readonly #ways: number;
  readonly #setBits: number;

  /** @param at - word of {@link iotlbWords} zeroed words */
  constructor(machine: Machine, at: number, sets: number, ways: number) {
    this.#machine = machine;
    this.#mem = machine.mem;
    this.#i32 = machine.mem.i32;
    this.#at = at;
    this.#entries = at + HEADER_WORDS;
    this.#sets = sets;
    this.#ways = ways;
    this.#setBits = 31 - Math.clz32(sets);
  }

  /** The cached entry of a page, or 0. Counts a hit or a miss. */
  lookup(low: number, high: number): number {
    const words = this.#i32;
    const tag = Math.imul((low >>> this.#setBits) | (high << (32 - this.#setBits)), TAG_MIX);
    let at = this.#entries + (low & (this.#sets - 1)) * this.#ways * 2;
    for (let way = this.#ways; way > 0; way--, at += 2) {
      const entry = words[at + 1]!;
      if (entry !== 0 && words[at] === (tag ^ Math.imul(entry, ENTRY_MIX))) {
        words[this.#at + HITS]!++;
        return entry;
      }
    }
    words[this.#at + MISSES]!++;
    return 0;
  }

  /** Number of invalidations so far: read it before walking the page table and hand it to {@link fill}. */
  get sequence(): number {
    return atomicLoad(this.#mem, this.#at + SEQUENCE);
  }

  /** {@link sequence} by a plain read: for comparisons that need not be in order with other accesses. */
  get sequenceSeen(): number {
    return this.#i32[this.#at + SEQUENCE]!;
  }

  /** Caches the entry of a page, unless something was invalidated since `sequence` or another fill is under way. */
  fill(low: number, high: number, entry: number, sequence: number): void {
    const words = this.#i32;
    const lock = this.#at + LOCK;
    syncPoint('iotlb.fill', lock);
    if (atomicCas(this.#mem, lock, 0, this.#machine.tid) !== 0) return;
    if (words[this.#at + SEQUENCE] === sequence) {
      const tag = Math.imul((low >>> this.#setBits) | (high << (32 - this.#setBits)), TAG_MIX);
      const set = this.#entries + (low & (this.#sets - 1)) * this.#ways * 2;
      let at = set + ((words[this.#at + MISSES]! & 0x7fff_ffff) % this.#ways) * 2;
      for (let way = this.#ways - 1; way >= 0; way--) if (words[set + way * 2 + 1] === 0) at = set + way * 2;
      words[this.#at + FILLED] = 1;
      words[at] = tag ^ Math.imul(entry, ENTRY_MIX);
      words[at + 1] = entry;
    }
    atomicStore(this.#mem, lock, 0);
  }

  /** Removes the entries of pages [first, end). Returns when no thread can find them any more. */
  invalidate(first: number, end: number): void {
    this.#lock();
    if (this.#i32[this.#at + FILLED] !== 0) {
      if (end - first >= this.#sets * 2) this.#clear();
      else for (let page = first; page < end; page++) this.#drop(page);
    }
    spinUnlock(this.#machine, this.#at + LOCK);
  }

  /** Removes every entry. */
  invalidateAll(): void {
    this.#lock();
    this.#clear();
    spinUnlock(this.#machine, this.#at + LOCK);
  }

  /** Frees the fill lock if a dead task holds it. */
  reap(task: number): void {
    atomicCas(this.#mem, this.#at + LOCK, task, 0);
  }

  /** Entries that are cached, for checks on a quiet machine. */
  count(): number {
    let used = 0;
    for (let i = 0; i < this.#sets * this.#ways; i++) if (this.#i32[this.#entries + i * 2 + 1] !== 0) used++;
    return used;
  }

  get stats(): IotlbStats {
    const words = this.#i32;
    const [hits, misses] = [words[this.#at + HITS]! >>> 0, words[this.#at + MISSES]! >>> 0];
    return { hits, misses, invalidations: words[this.#at + SEQUENCE]! >>> 0 };
  }

  /** Keeps fills out, and makes those that are under way void. */
  #lock(): void {
    spinLock(this.#machine, this.#at + LOCK);
    atomicAdd(this.#mem, this.#at + SEQUENCE, 1);
  }

  #clear(): void {
    const i32 = this.#i32;
    for (let i = 0; i < this.#sets * this.#ways; i++) i32[this.#entries + i * 2 + 1] = 0;
    i32[this.#at + FILLED] = 0;
  }

  #drop(page: number): void {
    const words = this.#i32;
    const low = page >>> 0;
    const high = (page / 2 ** 32) | 0;
    const tag = Math.imul((low >>> this.#setBits) | (high << (32 - this.#setBits)), TAG_MIX);
    let at = this.#entries + (low & (this.#sets - 1)) * this.#ways * 2;
    for (let way = this.#ways; way > 0; way--, at += 2) {
      const entry = words[at + 1]!;
      if (entry !== 0 && words[at] === (tag ^ Math.imul(entry, ENTRY_MIX))) {
        words[at + 1] = 0;
      }
    }
  }
}

/** Words that an IOTLB of this shape takes. */
export function iotlbWords(sets: number, ways: number): number {
  return HEADER_WORDS + sets * ways * 2;
}
