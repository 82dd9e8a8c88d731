import { orUndo, syncPoint } from '@dmabuf-emu/shm';
import { FenceChainStruct as N } from './container-layout.ts';
import { initFence } from './create.ts';
import { CallbackStruct as C, FenceStruct as F, OPS_MASK } from './layout.ts';
import { contextAlloc, isSeqnoLater } from './order.ts';
import { isSignaled } from './poll.ts';
import { getFence, getFenceAt, putFence } from './refs.ts';
import type { FenceTable } from './table.ts';

const SITE = 'dma_fence_chain_alloc';

/** A node that is not initialised yet. @throws KernelError ENOMEM @kernel dma_fence_chain_alloc */
export function allocChain(t: FenceTable): number {
  const { mem } = t;
  const { chains } = t.containers;
  const slot = chains.alloc(SITE);
  const n = chains.at(slot);
  return orUndo(
    () => {
      const cb = t.callbacks.alloc(SITE);
      N.callback.set(mem, n, cb);
      const base = t.slab.allocRaw(SITE);
      N.base.set(mem, n, base);
      F.priv.set(mem, t.slab.at(base), slot);
      F.state.set(mem, t.slab.at(base), 0);
      C.func.set(mem, t.callbacks.at(cb), t.containers.chainFunc);
      C.arg.set(mem, t.callbacks.at(cb), base);
      return base;
    },
    () => freeNode(t, slot),
  );
}

/** Frees the memory of a node beside its fence. */
export function freeNode(t: FenceTable, slot: number): void {
  const cb = N.callback.exchange(t.mem, t.containers.chains.at(slot), 0);
  if (cb !== 0) t.callbacks.free(cb, SITE);
  t.containers.chains.free(slot, SITE);
}

/** Frees a node that was never initialised. @kernel dma_fence_chain_free */
export function freeChain(t: FenceTable, ref: number): void {
  freeNode(t, F.priv.get(t.mem, t.slab.at(ref)));
  t.slab.free(ref, 'dma_fence_chain_free');
}

/**
 * Makes a chain's new head of the node `ref`. The references on `prev` (0 for none) and `fence` become the node's.
 * @kernel dma_fence_chain_init
 */
export function initChain(t: FenceTable, ref: number, prev: number, fence: number, seqno: number): void {
  const { mem } = t;
  const slot = F.priv.get(mem, t.slab.at(ref));
  const n = t.containers.chains.at(slot);
  const pp = prev === 0 ? 0 : t.slab.at(prev);
  const follows = pp !== 0 && isChain(t, pp);
  const prevSeqno = follows ? F.seqno.get(mem, pp) : 0;
  const continues = follows && isSeqnoLater(t, pp, seqno, prevSeqno);
  const context = continues ? F.context.get(mem, pp) : contextAlloc(t, 1);
  N.prev.set(mem, n, prev);
  N.fence.set(mem, n, fence);
  N.prevSeqno.set(mem, n, continues ? prevSeqno : 0);
  const { chain: ops, chainId } = t.containers;
  // A timeline never goes back, not even where a new one starts.
  initFence(t, ref, chainId, { ops, context, seqno: Math.max(prevSeqno, seqno), seqno64: true, priv: slot });
  if (isChain(t, t.slab.at(fence)))
    t.machine.diag.warn('fence-chain', 'dma_fence_chain_init: the fence of the point is a chain itself');
}

/** Whether the fence at word `p` is a node of a chain. @kernel dma_fence_is_chain */
export function isChain(t: FenceTable, p: number): boolean {
  return (t.mem.i32[p]! & OPS_MASK) === t.containers.chainId;
}

/** Word of the node struct of the node at word `p`. */
export function nodeAt(t: FenceTable, p: number): number {
  return t.containers.chains.at(F.priv.get(t.mem, p));
}

/** The fence of the point that node `ref` is, or `ref` itself when it is none. @kernel dma_fence_chain_contained */
export function containedIn(t: FenceTable, ref: number): number {
  const p = t.slab.at(ref);
  return isChain(t, p) ? N.fence.get(t.mem, nodeAt(t, p)) : ref;
}

/**
 * Goes to what came before `ref`, whose reference is used up, and drops nodes and fences in between that have ended.
 * @returns a reference to the first that has not, 0 when there is none.
 * @kernel dma_fence_chain_walk
 */
export function walkChain(t: FenceTable, ref: number): number {
  const { mem } = t;
  const p = t.slab.at(ref);
  let prev = 0;
  if (isChain(t, p)) {
    const at = nodeAt(t, p) + N.prev.at;
    for (prev = getFenceAt(t, at); prev !== 0; prev = getFenceAt(t, at)) {
      const contained = containedIn(t, prev);
      const held = prev;
      const ended = orUndo(
        () => isSignaled(t, contained, t.slab.at(contained)),
        () => [held, ref].forEach((fence) => putFence(t, fence)),
      );
      if (!ended) break;
      const pp = t.slab.at(prev);
      const before = isChain(t, pp) ? getFenceAt(t, nodeAt(t, pp) + N.prev.at) : 0;
      syncPoint('fence_chain.prev', at);
      const replaced = N.prev.cas(mem, at - N.prev.at, prev, before) === prev;
      // The node's reference on what it lost, or ours on what it did not get.
      if (replaced) putFence(t, prev);
      else if (before !== 0) putFence(t, before);
      putFence(t, prev);
    }
  }
  putFence(t, ref);
  return prev;
}

/**
 * Visits the fence of each point from `head` back, as far as they have not ended before; `head` is always visited.
 * @param visit returns false to stop.
 * @kernel dma_fence_chain_for_each
 */
export function forEachPoint(t: FenceTable, head: number, visit: (fence: number, p: number) => boolean): void {
  getFence(t, head);
  for (let node = head; node !== 0; node = walkChain(t, node)) {
    const fence = containedIn(t, node);
    const at = node;
    const goesOn = orUndo(
      () => visit(fence, t.slab.at(fence)),
      () => putFence(t, at),
    );
    if (goesOn) continue;
    putFence(t, node);
    return;
  }
}

/**
 * Finds the node that has to signal for point `seqno`.
 * @returns undefined when the chain does not reach that far; else a reference, 0 when the point has passed. The one on `ref`
 *   is used up then, unless `seqno` is 0, which answers with `ref` itself.
 * @kernel dma_fence_chain_find_seqno
 */
export function findSeqno(t: FenceTable, ref: number, seqno: number): number | undefined {
  const { mem } = t;
  if (seqno === 0) return ref;
  const p = ref === 0 ? 0 : t.slab.at(ref);
  if (p === 0 || !isChain(t, p) || F.seqno.get(mem, p) < seqno) return undefined;
  const context = F.context.get(mem, p);
  getFence(t, ref);
  let found = ref;
  while (found !== 0) {
    const at = t.slab.at(found);
    if (F.context.get(mem, at) !== context || N.prevSeqno.get(mem, nodeAt(t, at)) < seqno) break;
    found = walkChain(t, found);
  }
  putFence(t, ref);
  return found;
}
