import {
  atomicAdd,
  atomicLoad,
  atomicOr,
  type Machine,
  type Mem,
  spinLock,
  spinUnlock,
  syncPoint,
} from '@dmabuf-emu/shm';
import { LARGE_PAGES } from '../memory/page.ts';
import { entryIn, highBits, lowBits, tableAround, walkEntry } from './table-entry.ts';

/** Words of the header, known to walk.wat as well. Then the sets, the sets of large pages, and {@link COUNTERS}. */
const LOCK = 0;
const SEQUENCE = 1;
const HITS = 2;
const MISSES = 3;
/** Sets less one, its number of bits, bytes of a set, word of the page table's top table. */
const SET_MASK = 4;
const SET_BITS = 5;
const SET_BYTES = 6;
const TOP = 7;
const HEADER_WORDS = 8;
/** Words of a set before its ways: stamp, and the word of the way that is filled next. */
const NEXT = 1;
const WAYS = 2;
/** Words of a way: key, page-table entry, tag. */
const ENTRY = 1;
const TAG = 2;
const WAY_WORDS = 3;
/** Sets of large pages: what covers 512 pages each, 2 MiB. Known to walk.wat. */
const LARGE_SETS = 16;
const LARGE_BITS = 4;
const LARGE_SET_WORDS = WAYS + WAY_WORDS * 4;
/** Bit 0 of the sequence: something may have been cached. The invalidations are counted above it. */
const FILLED = 1;
const INVALIDATION = 2;
/** Words behind the sets: invalidations of everything in the domain, and those of everything in the machine. */
const BY_DOMAIN = 0;
const GLOBAL = 1;
const COUNTERS = 2;
const TAG_MIX = 0x9e37_79b1;
const STAMP_MIX = 0x85eb_ca6b;
/** A tag has 32 bits, a page number 36: at least 4 of them must choose the set. */
export const MIN_SETS = 16;

/** What an IOTLB counted. Hits and misses are approximate while several threads translate at the same time. */
export interface IotlbStats {
  readonly hits: number;
  readonly misses: number;
  /** All of them, and those of everything in the domain, or in the machine; the others were of ranges. */
  readonly invalidations: number;
  readonly domainInvalidations: number;
  readonly globalInvalidations: number;
}

/**
 * A set-associative cache of translations in the arena, shared by every thread that translates in its domain. As on real
 * hardware, an entry outlives its page-table entry until it is invalidated. Large pages have sets of their own, which are
 * looked at when a page is not in its set: an entry there stands for 2 MiB, also of a larger leaf.
 *
 * Neither a hit nor a fill takes a lock. The key of a way mixes its page, its entry and the stamp of its set: parts of two
 * fills are no entry. An invalidation gives the set a new stamp, its own number in the sequence, and rewrites the keys of the
 * ways that stay. So a fill that began before is void however late it is written; and a fill that meets a stamp newer than
 * the sequence it read before the page table does not take place.
 */
export class Iotlb {
  /** Whether the last {@link translate} used a cached entry that the page table no longer had. */
  stale = false;
  readonly #machine: Machine;
  readonly #mem: Mem;
  readonly #i32: Int32Array;
  readonly #at: number;
  readonly #first: number;
  readonly #large: number;
  readonly #end: number;
  readonly #sets: number;
  readonly #setBits: number;
  readonly #setWords: number;
  #devices = 0;
  #tell: (first: number, end: number) => void = () => undefined;

  /** @param at - word of {@link iotlbWords} words that {@link initIotlb} was called for */
  constructor(machine: Machine, at: number, sets: number, ways: number) {
    this.#machine = machine;
    this.#mem = machine.mem;
    this.#i32 = machine.mem.i32;
    this.#at = at;
    this.#first = at + HEADER_WORDS;
    this.#sets = sets;
    this.#setBits = 31 - Math.clz32(sets);
    this.#setWords = WAYS + WAY_WORDS * ways;
    this.#large = this.#first + sets * this.#setWords;
    this.#end = this.#large + LARGE_SETS * LARGE_SET_WORDS;
  }

  /**
   * Entry of a page as an access gets it: from here, else from the page table, and then cached; 0: not mapped.
   * `walk` of walk.wat does the same for ranges.
   * @param top - word of the page table's top table
   * @param low - low 32 bits of the page's number as an integer, `high` the 4 bits above
   * @param check - compare a hit with the page table and tell by {@link stale}
   */
  translate(top: number, low: number, high: number, check: boolean): number {
    const words = this.#i32;
    const set = this.#first + (low & (this.#sets - 1)) * this.#setWords;
    const tag = tagOf(low, high, this.#setBits);
    const stamp = words[set]!;
    const hit = find(words, set + WAYS, set + this.#setWords, keyOf(stamp, tag));
    if (hit !== 0) {
      words[this.#at + HITS]!++;
      this.stale = check && walkEntry(words, top, low, high) !== hit;
      return hit;
    }
    return this.#translateLarge(top, low, high, check, set, stamp, tag);
  }

  /** A page that is not in its set: maybe a large one is there that it is part of. */
  #translateLarge(
    top: number,
    low: number,
    high: number,
    check: boolean,
    set: number,
    stamp: number,
    tag: number,
  ): number {
    const words = this.#i32;
    const block = blockOf(low, high);
    const large = this.#large + (block & (LARGE_SETS - 1)) * LARGE_SET_WORDS;
    const largeTag = block >>> LARGE_BITS;
    const largeStamp = words[large]!;
    const leaf = find(words, large + WAYS, large + LARGE_SET_WORDS, keyOf(largeStamp, largeTag));
    if (leaf !== 0) {
      words[this.#at + HITS]!++;
      const hit = entryIn(words, leaf, low);
      this.stale = check && walkEntry(words, top, low, high) !== hit;
      return hit;
    }
    this.stale = false;
    words[this.#at + MISSES]!++;
    const sequence = this.#open();
    const table = tableAround(words, top, low, high);
    const entry = entryIn(words, table, low);
    syncPoint('iotlb.fill', set);
    if (table < 0) {
      if (((largeStamp - sequence) | 0) <= 0) fill(words, large, LARGE_SET_WORDS, largeStamp, largeTag, table);
    } else if (entry !== 0 && ((stamp - sequence) | 0) <= 0) fill(words, set, this.#setWords, stamp, tag, entry);
    return entry;
  }

  /**
   * {@link translate} of a cache behind which another one is asked.
   * @param ask - the entry from there; called once when it is not here
   */
  translateBy(low: number, high: number, ask: () => number): number {
    const words = this.#i32;
    const set = this.#first + (low & (this.#sets - 1)) * this.#setWords;
    const tag = tagOf(low, high, this.#setBits);
    const stamp = words[set]!;
    const hit = find(words, set + WAYS, set + this.#setWords, keyOf(stamp, tag));
    words[this.#at + (hit === 0 ? MISSES : HITS)]!++;
    if (hit !== 0) return hit;
    const sequence = this.#open();
    const entry = ask();
    syncPoint('iotlb.fill', set);
    if (entry !== 0 && ((stamp - sequence) | 0) <= 0) fill(words, set, this.#setWords, stamp, tag, entry);
    return entry;
  }

  /**
   * Has devices' caches that are filled from here invalidated after this one.
   * @param count - word of their number
   * @param tell - invalidates pages [first, end) in all of them
   */
  tellDevices(count: number, tell: (first: number, end: number) => void): void {
    this.#devices = count;
    this.#tell = tell;
  }

  /** Byte offset of the header. */
  get byteOffset(): number {
    return this.#at * 4;
  }

  /** {@link IotlbStats.invalidations} by a plain read: for comparisons that need not be in order with other accesses. */
  get sequenceSeen(): number {
    return this.#i32[this.#at + SEQUENCE]! >>> 1;
  }

  /** Removes the entries of pages [first, end). Returns when no thread can find them any more. */
  invalidate(first: number, end: number): void {
    const stamp = this.#lock();
    if (stamp !== 0) {
      if (end - first >= this.#sets * 2) this.#clear(stamp);
      else this.#dropRange(first, end, stamp);
    }
    spinUnlock(this.#machine, this.#at + LOCK);
    if (this.#devices !== 0 && atomicLoad(this.#mem, this.#devices) !== 0) this.#tell(first, end);
  }

  /** Removes every entry: the whole domain is invalidated. */
  invalidateAll(): void {
    this.#invalidateAll(BY_DOMAIN);
  }

  /** {@link invalidateAll} as part of an invalidation of everything in the machine. */
  invalidateGlobally(): void {
    this.#invalidateAll(GLOBAL);
  }

  /** Entries that are cached, for checks on a quiet machine. */
  count(): number {
    return this.#countSets(this.#first, this.#large, this.#setWords) + this.largeCount();
  }

  /** Those of {@link count} that stand for large pages. */
  largeCount(): number {
    return this.#countSets(this.#large, this.#end, LARGE_SET_WORDS);
  }

  #countSets(from: number, end: number, setWords: number): number {
    const words = this.#i32;
    let used = 0;
    for (let set = from; set < end; set += setWords) {
      for (let way = set + WAYS; way < set + setWords; way += WAY_WORDS) if (isValid(words, set, way)) used++;
    }
    return used;
  }

  get stats(): IotlbStats {
    const words = this.#i32;
    const [hits, misses] = [words[this.#at + HITS]! >>> 0, words[this.#at + MISSES]! >>> 0];
    const [domainInvalidations, globalInvalidations] = [words[this.#end + BY_DOMAIN]!, words[this.#end + GLOBAL]!];
    return { hits, misses, invalidations: this.sequenceSeen, domainInvalidations, globalInvalidations };
  }

  /** The sequence as it is before the page table is read. */
  #open(): number {
    const sequence = atomicLoad(this.#mem, this.#at + SEQUENCE);
    return (sequence & FILLED) !== 0 ? sequence : atomicOr(this.#mem, this.#at + SEQUENCE, FILLED) | FILLED;
  }

  /**
   * Begins an invalidation: its stamp, or 0 when there is nothing to do, because nothing was ever cached and a fill that
   * begins now finds the page table as it is.
   */
  #lock(): number {
    spinLock(this.#machine, this.#at + LOCK);
    const former = atomicAdd(this.#mem, this.#at + SEQUENCE, INVALIDATION);
    return (former & FILLED) === 0 ? 0 : (former + INVALIDATION) | 0;
  }

  #invalidateAll(counter: number): void {
    const stamp = this.#lock();
    this.#i32[this.#end + counter]!++;
    if (stamp !== 0) this.#clear(stamp);
    spinUnlock(this.#machine, this.#at + LOCK);
    if (this.#devices !== 0 && atomicLoad(this.#mem, this.#devices) !== 0) this.#tell(0, Infinity);
  }

  #clear(stamp: number): void {
    this.#clearSets(this.#first, this.#large, this.#setWords, stamp);
    this.#clearSets(this.#large, this.#end, LARGE_SET_WORDS, stamp);
  }

  #clearSets(from: number, end: number, setWords: number, stamp: number): void {
    const words = this.#i32;
    for (let set = from; set < end; set += setWords) {
      words[set] = stamp;
      for (let way = set + WAYS; way < set + setWords; way += WAY_WORDS) words[way + ENTRY] = 0;
    }
  }

  #dropRange(first: number, end: number, stamp: number): void {
    for (let page = first; page < end; page++) {
      const low = lowBits(page);
      const set = this.#first + (low & (this.#sets - 1)) * this.#setWords;
      this.#drop(set, this.#setWords, tagOf(low, highBits(page), this.#setBits), stamp);
    }
    for (let page = first - (first % LARGE_PAGES); page < end; page += LARGE_PAGES) {
      const block = blockOf(lowBits(page), highBits(page));
      const set = this.#large + (block & (LARGE_SETS - 1)) * LARGE_SET_WORDS;
      this.#drop(set, LARGE_SET_WORDS, block >>> LARGE_BITS, stamp);
    }
  }

  #drop(set: number, setWords: number, tag: number, stamp: number): void {
    const words = this.#i32;
    for (let way = set + WAYS, end = set + setWords; way < end; way += WAY_WORDS) {
      const [entry, other] = [words[way + ENTRY]!, words[way + TAG]!];
      if (other === tag) words[way + ENTRY] = 0;
      else if (isValid(words, set, way)) words[way] = keyOf(stamp, other) ^ entry;
    }
    words[set] = stamp;
  }
}

/** The entry of the way with a key among those from word `way` to `end`; 0: none. */
function find(words: Int32Array, from: number, end: number, key: number): number {
  for (let way = from; way < end; way += WAY_WORDS) {
    const entry = words[way + ENTRY]!;
    if ((words[way]! ^ entry) === key && entry !== 0) return entry;
  }
  return 0;
}

/** Puts an entry in the place of the oldest one of a set. */
function fill(words: Int32Array, set: number, setWords: number, stamp: number, tag: number, entry: number): void {
  const next = words[set + NEXT]!;
  words[set + NEXT] = next + WAY_WORDS === setWords - WAYS ? 0 : next + WAY_WORDS;
  const way = set + WAYS + next;
  words[way + TAG] = tag;
  words[way + ENTRY] = entry;
  words[way] = keyOf(stamp, tag) ^ entry;
}

/** What is left of a page's number in its set. */
function tagOf(low: number, high: number, setBits: number): number {
  return (low >>> setBits) | (high << (32 - setBits)) | 0;
}

/** Number of the 2 MiB around a page. */
function blockOf(low: number, high: number): number {
  return (low >>> 9) | (high << 23);
}

function keyOf(stamp: number, tag: number): number {
  return Math.imul(tag, TAG_MIX) ^ Math.imul(stamp, STAMP_MIX);
}

/** Whether a way holds an entry that lookups find. */
function isValid(words: Int32Array, set: number, way: number): boolean {
  const entry = words[way + ENTRY]!;
  return entry !== 0 && (words[way]! ^ entry) === keyOf(words[set]!, words[way + TAG]!);
}

/**
 * Makes an empty IOTLB.
 * @param at - word of {@link iotlbWords} zeroed words
 * @param top - word of the page table's top table
 */
export function initIotlb(mem: Mem, at: number, sets: number, ways: number, top: number): void {
  mem.i32[at + SET_MASK] = sets - 1;
  mem.i32[at + SET_BITS] = 31 - Math.clz32(sets);
  mem.i32[at + SET_BYTES] = (WAYS + WAY_WORDS * ways) * 4;
  mem.i32[at + TOP] = top;
}

/** Words that an IOTLB of this shape takes. */
export function iotlbWords(sets: number, ways: number): number {
  return HEADER_WORDS + sets * (WAYS + WAY_WORDS * ways) + LARGE_SETS * LARGE_SET_WORDS + COUNTERS;
}
