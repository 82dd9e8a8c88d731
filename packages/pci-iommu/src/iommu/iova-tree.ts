import type { Machine, Mem, Slab } from '@dmabuf-emu/shm';
import {
  CHILD_GAP,
  CHILD_NODE,
  CHILD_WORDS,
  IovaNodeStruct,
  IovaStruct,
  LEAF_RANGES,
  NODE_CHILDREN,
  RANGE_WORDS,
} from './iova-struct.ts';

const COUNT = IovaNodeStruct.count.at;
const SELF = IovaNodeStruct.self.at;
const NEXT = IovaNodeStruct.next.at;
const ITEMS = IovaNodeStruct.items.at;
/** Doubles from the first page of a range to the first page behind it, and from there to the largest gap inside. */
const END = 1;
const GAP = CHILD_GAP >>> 1;
/** Nodes that an insertion can need: one for each level and one for a new root. */
const SPARES = 2;

/**
 * Disjoint ranges of pages in ascending order, as a B+ tree in the arena: every operation costs the logarithm of their
 * number. Upper nodes know the largest gap below each child, so that a search passes by what cannot hold it. The caller holds
 * the space's lock.
 */
export class IovaTree {
  /** What {@link locate} found: the last range that begins at or before the page, and where the next one begins. */
  first = 0;
  end = 0;
  next = Infinity;
  readonly #mem: Mem;
  readonly #i32: Int32Array;
  readonly #f64: Float64Array;
  readonly #p: number;
  readonly #slab: Slab;
  /** Of the search that is under way. */
  #pages = 0;
  #align = 1;
  #low = 0;
  #high = 0;
  /** Where the last {@link IovaTree.#makePlace} made room. */
  #into = 0;
  #place = 0;

  /** @param p - word of the space's slot */
  constructor(machine: Machine, p: number) {
    this.#mem = machine.mem;
    this.#i32 = machine.mem.i32;
    this.#f64 = machine.mem.f64;
    this.#p = p;
    this.#slab = machine.slab(IovaNodeStruct);
  }

  /** Makes the tree, without ranges. @throws KernelError ENOMEM */
  init(): void {
    this.#makeSpares(1);
    this.#root = this.#takeSpare();
  }

  /** Gives every node back. */
  destroy(): void {
    if (this.#root !== 0) this.#freeBelow(this.#root, this.#height);
    for (let node = IovaStruct.spare.get(this.#mem, this.#p); node !== 0;) {
      const next = this.#i32[node + NEXT]!;
      this.#slab.free(this.#i32[node + SELF]!, 'iova.node');
      node = next;
    }
  }

  /** Ranges. */
  get count(): number {
    return IovaStruct.count.get(this.#mem, this.#p);
  }

  /** Pages in all ranges. */
  get pages(): number {
    return IovaStruct.taken.get(this.#mem, this.#p);
  }

  /** Allocates the nodes that the next {@link insert} may need, so that it cannot fail. @throws KernelError ENOMEM */
  prepare(): void {
    this.#makeSpares(this.#height + SPARES);
  }

  /** Adds a range that overlaps none. {@link prepare} has been called. */
  insert(first: number, end: number): void {
    const root = this.#root;
    const sibling = this.#insertBelow(root, this.#height, first, end);
    if (sibling !== 0) {
      const top = this.#takeSpare();
      const level = this.#height;
      this.#height = level + 1;
      this.#i32[top + COUNT] = 2;
      this.#describe(top, 0, root, level);
      this.#describe(top, 1, sibling, level);
      this.#root = top;
    }
    this.#account(1, end - first);
  }

  /** Finds the last range that begins at or before `page`, in {@link first}, {@link end} and {@link next}. False: there is none. */
  locate(page: number): boolean {
    let node = this.#root;
    this.next = Infinity;
    for (let level = this.#height; ; level--) {
      const words = level === 0 ? RANGE_WORDS : CHILD_WORDS;
      const i = this.#lastUpTo(node, words, page);
      if (i + 1 < this.#i32[node + COUNT]!) this.next = this.#f64[this.#item(node, i + 1, words)]!;
      if (i < 0) return false;
      const at = this.#item(node, i, words);
      if (level === 0) {
        this.first = this.#f64[at]!;
        this.end = this.#f64[at + END]!;
        return true;
      }
      node = this.#child(node, i);
    }
  }

  /** Removes the range that {@link locate} found. */
  removeLocated(): void {
    this.#removeBelow(this.#root, this.#height, this.first);
    while (this.#height > 0 && this.#i32[this.#root + COUNT] === 1) {
      const root = this.#root;
      this.#root = this.#i32[root + ITEMS + CHILD_NODE]!;
      this.#height -= 1;
      this.#free(root);
    }
    this.#account(-1, this.first - this.end);
  }

  /**
   * The highest multiple of `align` from which on `pages` pages are free, all of them below `high`; not below `low`.
   * @returns 0 when there is none
   */
  findGap(pages: number, align: number, high: number, low: number): number {
    this.#pages = pages;
    this.#align = align;
    this.#high = high;
    this.#low = low;
    const found = this.#gapBelow(this.#root, this.#height);
    const at = found !== 0 ? found : this.#fit();
    return at >= low ? at : 0;
  }

  /** Calls `fn` for every range, in order. For checks on a quiet machine. */
  each(fn: (first: number, end: number) => void): void {
    if (this.#root !== 0) this.#eachBelow(this.#root, this.#height, fn);
  }

  /** Looks through a node from its last range below `#high` down. Returns the page, -1 when it went below `#low`, or 0. */
  #gapBelow(node: number, level: number): number {
    const f64 = this.#f64;
    const words = level === 0 ? RANGE_WORDS : CHILD_WORDS;
    for (let i = this.#lastUpTo(node, words, this.#high - 1); i >= 0; i--) {
      const item = this.#item(node, i, words);
      const at = this.#fit();
      if (at < this.#low) return -1;
      if (at >= f64[item + END]!) return at;
      if (level > 0 && f64[item + GAP]! >= this.#pages) {
        const found = this.#gapBelow(this.#child(node, i), level - 1);
        if (found !== 0) return found;
      }
      const first = f64[item]!;
      if (first < this.#high) this.#high = first;
    }
    return 0;
  }

  /** Where the range would be if all below `#high` were free. */
  #fit(): number {
    return Math.floor((this.#high - this.#pages) / this.#align) * this.#align;
  }

  /** Inserts below a node. Returns the node that was made to its right, or 0. */
  #insertBelow(node: number, level: number, first: number, end: number): number {
    if (level === 0) {
      const sibling = this.#makePlace(node, this.#lastUpTo(node, RANGE_WORDS, first) + 1, RANGE_WORDS);
      const item = this.#item(this.#into, this.#place, RANGE_WORDS);
      this.#f64[item] = first;
      this.#f64[item + END] = end;
      return sibling;
    }
    const i = Math.max(0, this.#lastUpTo(node, CHILD_WORDS, first));
    const child = this.#child(node, i);
    const made = this.#insertBelow(child, level - 1, first, end);
    this.#describe(node, i, child, level - 1);
    if (made === 0) return 0;
    const sibling = this.#makePlace(node, i + 1, CHILD_WORDS);
    this.#describe(this.#into, this.#place, made, level - 1);
    return sibling;
  }

  /** Makes room for item `at` of a node, in `#into` at `#place`. Returns the node that was made to its right, or 0. */
  #makePlace(node: number, at: number, words: number): number {
    const capacity = capacityOf(words);
    const sibling = this.#i32[node + COUNT] === capacity ? this.#split(node, at, words) : 0;
    const count = this.#i32[node + COUNT]!;
    const fits = at <= count && count < capacity;
    this.#into = fits ? node : sibling;
    this.#place = fits ? at : at - count;
    this.#shift(this.#into, this.#place, 1, words);
    return sibling;
  }

  /** Moves the upper half of a node into a new one; at an edge, where runs of insertions happen, all that is beyond `at`. */
  #split(node: number, at: number, words: number): number {
    const count = this.#i32[node + COUNT]!;
    const from = at <= 1 || at >= count - 1 ? at : count >>> 1;
    const sibling = this.#takeSpare();
    this.#i32[sibling + COUNT] = count - from;
    this.#copy(sibling, 0, node, from, count - from, words);
    this.#i32[node + COUNT] = from;
    return sibling;
  }

  #removeBelow(node: number, level: number, first: number): void {
    if (level === 0) {
      this.#shift(node, this.#lastUpTo(node, RANGE_WORDS, first) + 1, -1, RANGE_WORDS);
      return;
    }
    const i = this.#lastUpTo(node, CHILD_WORDS, first);
    const child = this.#child(node, i);
    this.#removeBelow(child, level - 1, first);
    const left = this.#i32[child + COUNT]!;
    if (left === 0) {
      this.#free(child);
      this.#shift(node, i + 1, -1, CHILD_WORDS);
      return;
    }
    this.#describe(node, i, child, level - 1);
    if (left <= capacityOf(level === 1 ? RANGE_WORDS : CHILD_WORDS) >>> 2)
      this.#merge(node, Math.max(0, i - 1), level - 1);
  }

  /** Makes one child of two if they leave room. */
  #merge(node: number, i: number, level: number): void {
    if (i + 1 >= this.#i32[node + COUNT]!) return;
    const words = level === 0 ? RANGE_WORDS : CHILD_WORDS;
    const [left, right] = [this.#child(node, i), this.#child(node, i + 1)];
    const [count, more] = [this.#i32[left + COUNT]!, this.#i32[right + COUNT]!];
    if (count + more > (capacityOf(words) * 3) >>> 2) return;
    this.#copy(left, count, right, 0, more, words);
    this.#i32[left + COUNT] = count + more;
    this.#free(right);
    this.#shift(node, i + 2, -1, CHILD_WORDS);
    this.#describe(node, i, left, level);
  }

  /** Writes what a node knows of a child. */
  #describe(node: number, i: number, child: number, level: number): void {
    const f64 = this.#f64;
    const words = level === 0 ? RANGE_WORDS : CHILD_WORDS;
    const step = words >>> 1;
    const from = this.#item(child, 0, words);
    const last = from + (this.#i32[child + COUNT]! - 1) * step;
    let gap = level === 0 ? 0 : f64[from + GAP]!;
    for (let at = from; at < last; at += step) {
      gap = Math.max(gap, f64[at + step]! - f64[at + END]!, level === 0 ? 0 : f64[at + step + GAP]!);
    }
    const item = this.#item(node, i, CHILD_WORDS);
    f64[item] = f64[from]!;
    f64[item + END] = f64[last + END]!;
    f64[item + GAP] = gap;
    this.#i32[node + ITEMS + i * CHILD_WORDS + CHILD_NODE] = child;
  }

  /** Index of the last item of a node that begins at or before `page`; -1 when there is none. */
  #lastUpTo(node: number, words: number, page: number): number {
    const f64 = this.#f64;
    const [from, step] = [(node + ITEMS) >>> 1, words >>> 1];
    let low = 0;
    let high = this.#i32[node + COUNT]!;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (f64[from + middle * step]! <= page) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Index in doubles of an item of a node. */
  #item(node: number, i: number, words: number): number {
    return (node + ITEMS + i * words) >>> 1;
  }

  #child(node: number, i: number): number {
    return this.#i32[node + ITEMS + i * CHILD_WORDS + CHILD_NODE]!;
  }

  /** Moves the items of a node from `at` on by one place up or down, and changes its count. */
  #shift(node: number, at: number, by: 1 | -1, words: number): void {
    const count = this.#i32[node + COUNT]!;
    this.#copy(node, at + by, node, at, count - at, words);
    this.#i32[node + COUNT] = count + by;
  }

  #copy(to: number, at: number, from: number, i: number, items: number, words: number): void {
    if (items > 0) this.#mem.copy((to + ITEMS + at * words) * 4, (from + ITEMS + i * words) * 4, items * words * 4);
  }

  #makeSpares(wanted: number): void {
    while (IovaStruct.spares.get(this.#mem, this.#p) < wanted) {
      const ref = this.#slab.alloc('iova.node');
      const node = this.#slab.at(ref);
      this.#i32[node + SELF] = ref;
      this.#keep(node);
    }
  }

  #takeSpare(): number {
    const node = IovaStruct.spare.get(this.#mem, this.#p);
    IovaStruct.spare.set(this.#mem, this.#p, this.#i32[node + NEXT]!);
    IovaStruct.spares.set(this.#mem, this.#p, IovaStruct.spares.get(this.#mem, this.#p) - 1);
    this.#i32[node + COUNT] = 0;
    return node;
  }

  #free(node: number): void {
    if (IovaStruct.spares.get(this.#mem, this.#p) < this.#height + SPARES) this.#keep(node);
    else this.#slab.free(this.#i32[node + SELF]!, 'iova.node');
  }

  #keep(node: number): void {
    this.#i32[node + NEXT] = IovaStruct.spare.get(this.#mem, this.#p);
    IovaStruct.spare.set(this.#mem, this.#p, node);
    IovaStruct.spares.set(this.#mem, this.#p, IovaStruct.spares.get(this.#mem, this.#p) + 1);
  }

  #freeBelow(node: number, level: number): void {
    if (level > 0) for (let i = 0; i < this.#i32[node + COUNT]!; i++) this.#freeBelow(this.#child(node, i), level - 1);
    this.#slab.free(this.#i32[node + SELF]!, 'iova.node');
  }

  #eachBelow(node: number, level: number, fn: (first: number, end: number) => void): void {
    for (let i = 0; i < this.#i32[node + COUNT]!; i++) {
      if (level > 0) this.#eachBelow(this.#child(node, i), level - 1, fn);
      else fn(this.#f64[this.#item(node, i, RANGE_WORDS)]!, this.#f64[this.#item(node, i, RANGE_WORDS) + END]!);
    }
  }

  #account(ranges: number, pages: number): void {
    IovaStruct.count.set(this.#mem, this.#p, this.count + ranges);
    IovaStruct.taken.set(this.#mem, this.#p, this.pages + pages);
  }

  get #root(): number {
    return IovaStruct.root.get(this.#mem, this.#p);
  }

  set #root(node: number) {
    IovaStruct.root.set(this.#mem, this.#p, node);
  }

  get #height(): number {
    return IovaStruct.height.get(this.#mem, this.#p);
  }

  set #height(levels: number) {
    IovaStruct.height.set(this.#mem, this.#p, levels);
  }
}

function capacityOf(words: number): number {
  return words === RANGE_WORDS ? LEAF_RANGES : NODE_CHILDREN;
}
