import { orUndo, TaskKilled } from '@dmabuf-emu/shm';
import { createArray, isArray, memberAt } from './array.ts';
import { containedIn, walkChain } from './chain.ts';
import { privateStub } from './create.ts';
import { FenceStruct as F } from './layout.ts';
import { contextAlloc, isLater } from './order.ts';
import { isSignaled } from './poll.ts';
import { getFence, putFence } from './refs.ts';
import { timestamp } from './status.ts';
import type { FenceTable } from './table.ts';

/**
 * The fences that a fence consists of: for each node of a chain, newest first, the members of its array or its one fence.
 * Signalled ones too. Holds a reference on the current node; {@link end} drops it before the end.
 * @kernel dma_fence_unwrap
 */
export class UnwrapCursor {
  readonly #t: FenceTable;
  /** The node, or the head that is no chain; 0 at the end. */
  #node = 0;
  #index = 0;

  constructor(t: FenceTable) {
    this.#t = t;
  }

  /** The first fence of `head`, 0 for none. @kernel dma_fence_unwrap_first */
  first(head: number): number {
    if (head !== 0) getFence(this.#t, head);
    this.#node = head;
    return this.#enter();
  }

  /** The next one, 0 at the end. @kernel dma_fence_unwrap_next */
  next(): number {
    if (this.#node === 0) return 0;
    const member = memberAt(this.#t, containedIn(this.#t, this.#node), ++this.#index);
    if (member !== 0) return member;
    const from = this.#node;
    this.#node = 0;
    this.#node = walkChain(this.#t, from);
    return this.#enter();
  }

  end(): void {
    if (this.#node !== 0) putFence(this.#t, this.#node);
    this.#node = 0;
  }

  /** The first fence of the current node; an empty array ends the walk, as in the kernel. */
  #enter(): number {
    this.#index = 0;
    if (this.#node === 0) return 0;
    const contained = containedIn(this.#t, this.#node);
    const first = isArray(this.#t, this.#t.slab.at(contained)) ? memberAt(this.#t, contained, 0) : contained;
    if (first === 0) this.end();
    return first;
  }
}

/** Visits what the fences consist of. */
function forEachLeaf(t: FenceTable, heads: readonly number[], visit: (fence: number, p: number) => void): void {
  const cursor = new UnwrapCursor(t);
  try {
    for (const head of heads)
      for (let fence = cursor.first(head); fence !== 0; fence = cursor.next()) visit(fence, t.slab.at(fence));
  } catch (error) {
    if (!(error instanceof TaskKilled)) cursor.end();
    throw error;
  }
}

/**
 * Leaves the latest fence of each timeline, in the order of their contexts; drops the references on the others.
 * @kernel dma_fence_dedup_array
 */
export function dedup(t: FenceTable, fences: readonly number[]): number[] {
  const contextOf = (ref: number): number => F.context.get(t.mem, t.slab.at(ref)) >>> 0;
  const sorted = fences.toSorted((a, b) => {
    const order = contextOf(a) - contextOf(b);
    if (order !== 0) return order;
    if (isLater(t, t.slab.at(b), t.slab.at(a))) return 1;
    return isLater(t, t.slab.at(a), t.slab.at(b)) ? -1 : 0;
  });
  const kept = sorted.filter((ref, i) => i === 0 || contextOf(ref) !== contextOf(sorted[i - 1]!));
  for (const ref of sorted.filter((_, i) => i > 0 && contextOf(sorted[i]!) === contextOf(sorted[i - 1]!)))
    putFence(t, ref);
  return kept;
}

/** The leaves that have not ended, with a reference each; `stamp` sees the others. */
function pendingLeaves(t: FenceTable, heads: readonly number[], stamp: (p: number) => void): number[] {
  const found: number[] = [];
  orUndo(
    () =>
      forEachLeaf(t, heads, (fence, p) => {
        if (isSignaled(t, fence, p)) return stamp(p);
        getFence(t, fence);
        found.push(fence);
      }),
    () => putAll(t, found),
  );
  return found;
}

function putAll(t: FenceTable, fences: readonly number[]): void {
  for (const fence of fences) putFence(t, fence);
}

/**
 * One fence for all that have not ended of what the given ones (0 allowed) consist of: that one, an array of the latest of
 * each timeline, or a signalled one with the latest time stamp. Uses up no reference. Asks each twice, as the kernel does: to
 * know how many there are, and when there is room for them.
 * @throws KernelError ENOMEM
 * @kernel __dma_fence_unwrap_merge
 */
export function merge(t: FenceTable, heads: readonly number[]): number {
  let stampNs = 0;
  const stamp = (p: number): void => void (stampNs = Math.max(stampNs, timestamp(t, p)));
  let found = pendingLeaves(t, heads, stamp);
  if (found.length > 1) {
    putAll(t, found);
    if (t.machine.faults.armed) t.machine.faults.check('dma_fence_unwrap_merge');
    found = dedup(t, pendingLeaves(t, heads, stamp));
  }
  if (found.length === 0) return privateStub(t, stampNs);
  if (found.length === 1) return found[0]!;
  return orUndo(
    () => createArray(t, found, contextAlloc(t, 1), {}),
    () => putAll(t, found),
  );
}
