import { PAGE_SIZE } from '../memory/page.ts';

/**
 * Entry of a page table, one Int32. At the last level `frame << 2 | READ | WRITE`. Above it, a positive entry is the word of
 * the next table and a negative one a large leaf: `1 << 31 | (frame >> 9) << 2 | prot`. 0 is "nothing".
 */
const LARGE = -0x8000_0000;
const HIGH = 2 ** 32;
/** Bytes that the low 32 bits of a page's number stand for. */
const HIGH_BYTES = PAGE_SIZE * HIGH;
/** Entries of a table, less one. */
export const INDEX = 511;
/** Page numbers have 36 bits. */
export const MAX_PAGE_NUMBER = 2 ** 36;

/** Low 32 and high 4 bits of a page number. */
export function lowBits(page: number): number {
  return page >>> 0;
}

export function highBits(page: number): number {
  return (page / HIGH) | 0;
}

/** Low 32 bits of the number of an address's page, as an integer. */
export function lowPage(address: number): number {
  return (address / PAGE_SIZE) | 0;
}

/** The bits of the page's number above. */
export function highPage(address: number): number {
  return (address / HIGH_BYTES) | 0;
}

/** The entry of a 4 KiB page. */
export function smallLeaf(frame: number, prot: number): number {
  return (frame << 2) | prot;
}

/** The entry of a leaf of 2 MiB or 1 GiB, whose first frame is a multiple of 512. */
export function largeLeaf(frame: number, prot: number): number {
  return LARGE | ((frame >>> 9) << 2) | prot;
}

/** Frame number in a (4 KiB) entry. */
export function entryFrame(entry: number): number {
  return entry >>> 2;
}

/** The entry one level below that a large leaf stands for, at index `i` there. @param level - of the leaf: 1 or 2 */
export function entryBelow(leaf: number, level: number, i: number): number {
  return level === 1 ? smallEntry(leaf, i) : leaf + (i << 2);
}

/**
 * Walks four levels and returns the 4 KiB entry of a page, or 0. Lock-free; sees every batch of changes that was published
 * before the caller heard of it.
 */
export function walkEntry(words: Int32Array, top: number, low: number, high: number): number {
  let table = words[top + ((high << 5) | (low >>> 27))]!;
  if (table === 0) return 0;
  table = words[table + ((low >>> 18) & INDEX)]!;
  if (table > 0) table = words[table + ((low >>> 9) & INDEX)]!;
  else if (table === 0) return 0;
  else table = entryBelow(table, 2, (low >>> 9) & INDEX);
  if (table > 0) return words[table + (low & INDEX)]!;
  return table === 0 ? 0 : smallEntry(table, low);
}

/** What covers the 512 pages around a page: word of the last table, a 2 MiB leaf (negative), or 0. */
export function tableAround(words: Int32Array, top: number, low: number, high: number): number {
  let table = words[top + ((high << 5) | (low >>> 27))]!;
  if (table === 0) return 0;
  table = words[table + ((low >>> 18) & INDEX)]!;
  if (table > 0) return words[table + ((low >>> 9) & INDEX)]!;
  return table === 0 ? 0 : entryBelow(table, 2, (low >>> 9) & INDEX);
}

/** The entry of a page in what {@link tableAround} found. */
export function entryIn(words: Int32Array, table: number, low: number): number {
  if (table > 0) return words[table + (low & INDEX)]!;
  return table === 0 ? 0 : smallEntry(table, low);
}

/** The table of the last level around a page; 0 or negative where there is none. */
export function lastTable(words: Int32Array, top: number, low: number, high: number): number {
  let table = words[top + ((high << 5) | (low >>> 27))]!;
  if (table === 0) return 0;
  table = words[table + ((low >>> 18) & INDEX)]!;
  return table <= 0 ? table : words[table + ((low >>> 9) & INDEX)]!;
}

/** The 4 KiB entry that a 2 MiB leaf stands for at a page. */
function smallEntry(leaf: number, low: number): number {
  return (((leaf & ~LARGE) >>> 2) << 11) | ((low & INDEX) << 2) | (leaf & 3);
}
