import type { Machine, Mem } from '@dmabuf-emu/shm';
import { IovaStruct } from './iova-struct.ts';
import { IovaTree } from './iova-tree.ts';

const S = IovaStruct;

/**
 * The allocated ranges of an IOVA space, in pages, not bytes. The search for a free range goes top-down from a remembered
 * place, so that it finds what the kernel's finds. The caller holds the space's lock.
 *
 * @kernel drivers/iommu/iova.c
 */
export class IovaRanges {
  readonly #mem: Mem;
  readonly #p: number;
  readonly #tree: IovaTree;

  /** @param p - word of the space's slot */
  constructor(machine: Machine, p: number) {
    this.#mem = machine.mem;
    this.#p = p;
    this.#tree = new IovaTree(machine, p);
  }

  /** Makes an empty space. @throws KernelError ENOMEM @kernel init_iova_domain */
  init(): void {
    S.cached32.set(this.#mem, this.#p, Infinity);
    S.cached.set(this.#mem, this.#p, Infinity);
    S.max32.set(this.#mem, this.#p, this.#pages32);
    this.#tree.init();
  }

  /** Gives all memory back. */
  destroy(): void {
    this.#tree.destroy();
  }

  /**
   * The highest free run of `pages` pages below `limit`, aligned to the next power of two, and takes it.
   * @returns its first page, or 0
   * @throws KernelError ENOMEM without room to remember it
   * @kernel __alloc_and_insert_iova_range
   */
  alloc(pages: number, limit: number): number {
    const pages32 = this.#pages32;
    const start = S.start.get(this.#mem, this.#p);
    const end = Math.min(limit, S.top.get(this.#mem, this.#p));
    const small = end <= pages32;
    if (small && pages >= S.max32.get(this.#mem, this.#p)) return 0;
    this.#tree.prepare();
    const align = nextPowerOfTwo(pages);
    const from = (small ? S.cached32 : S.cached).get(this.#mem, this.#p);
    let found = this.#tree.findGap(pages, align, Math.min(end, from), start);
    if (found === 0 && from < end) found = this.#tree.findGap(pages, align, end, Math.max(start, from));
    if (found === 0) {
      S.max32.set(this.#mem, this.#p, pages);
      return 0;
    }
    this.#tree.insert(found, found + pages);
    (found + pages <= pages32 ? S.cached32 : S.cached).set(this.#mem, this.#p, found);
    return found;
  }

  /** Gives the range back that holds `page`, all of it. False when none does. @kernel free_iova */
  free(page: number): boolean {
    const tree = this.#tree;
    if (!tree.locate(page) || tree.end <= page) return false;
    const { first, end, next } = tree;
    const pages32 = this.#pages32;
    if (end <= pages32 && first >= S.cached32.get(this.#mem, this.#p)) S.cached32.set(this.#mem, this.#p, next);
    if (first < pages32) S.max32.set(this.#mem, this.#p, pages32);
    if (first >= S.cached.get(this.#mem, this.#p)) S.cached.set(this.#mem, this.#p, next);
    tree.removeLocated();
    return true;
  }

  /** Takes pages [first, end) for good, whether or not some are taken already. @kernel reserve_iova @throws KernelError ENOMEM */
  reserve(first: number, end: number): void {
    const tree = this.#tree;
    for (let at = first; at < end;) {
      if (tree.locate(at) && tree.end > at) {
        at = tree.end;
        continue;
      }
      const stop = Math.min(end, tree.next);
      tree.prepare();
      tree.insert(at, stop);
      S.reserved.set(this.#mem, this.#p, this.reserved + stop - at);
      at = stop;
    }
  }

  /** Pages that are taken, reserved ones included. */
  get total(): number {
    return this.#tree.pages;
  }

  /** Pages that were reserved. */
  get reserved(): number {
    return S.reserved.get(this.#mem, this.#p);
  }

  /** Ranges that are taken, reserved ones included. */
  get count(): number {
    return this.#tree.count;
  }

  /** The taken ranges as [first, end) pages, in order, for checks on a quiet machine. */
  list(): [first: number, end: number][] {
    const ranges: [number, number][] = [];
    this.#tree.each((first, end) => ranges.push([first, end]));
    return ranges;
  }

  get #pages32(): number {
    return S.pages32.get(this.#mem, this.#p);
  }
}

/** The power of two at or above `value`. */
function nextPowerOfTwo(value: number): number {
  return value <= 2 ** 31 ? 2 ** (value <= 1 ? 0 : 32 - Math.clz32(value - 1)) : 2 ** Math.ceil(Math.log2(value));
}
