import { LEVEL_BITS } from './page-sizes.ts';
import { TOP_LEVEL } from './table-cursor.ts';
import { entryBelow, entryFrame, INDEX } from './table-entry.ts';
import type { TableStore } from './table-store.ts';

/** One leaf of a page table: `pages` pages from `page` on stand for frames from `frame` on. */
export interface Leaf {
  readonly page: number;
  readonly pages: number;
  readonly frame: number;
  readonly prot: number;
}

/** The leaf that begins with an entry. @param entries - how many it takes */
export function leafOf(page: number, level: number, entry: number, entries: number): Leaf {
  let small = entry;
  for (let at = level; at > 0; at--) small = entryBelow(small, at, 0);
  return { page, pages: entries * pagesOf(level), frame: entryFrame(small), prot: small & 3 };
}

/** All leaves below a table, in ascending order. @param joined - where leaves may take several entries */
export function* leavesBelow(
  words: Int32Array,
  joined: TableStore | null,
  table: number,
  level = TOP_LEVEL,
  page = 0,
): Generator<Leaf> {
  for (let i = 0; i <= INDEX; i++) {
    const entry = words[table + i]!;
    const at = page + i * pagesOf(level);
    if (entry > 0 && level > 0) yield* leavesBelow(words, joined, entry, level - 1, at);
    else if (entry !== 0) {
      let to = i + 1;
      while (joined !== null && to <= INDEX && joined.isJoined(table, to)) to++;
      yield leafOf(at, level, entry, to - i);
      i = to - 1;
    }
  }
}

/** Pages that the leaves below a table map. */
export function countBelow(words: Int32Array, table: number, level: number): number {
  let pages = 0;
  for (let i = 0; i <= INDEX; i++) {
    const entry = words[table + i]!;
    if (entry !== 0) pages += level > 0 && entry > 0 ? countBelow(words, entry, level - 1) : pagesOf(level);
  }
  return pages;
}

function pagesOf(level: number): number {
  return 2 ** (level * LEVEL_BITS);
}
