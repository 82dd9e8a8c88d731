import { KernelError, type Machine } from '@dmabuf-emu/shm';
import { Fence } from './fence.ts';
import {
  allocChain,
  containedIn,
  findSeqno,
  freeChain,
  initChain,
  isChain,
  nodeAt,
  walkChain,
} from './internal/chain.ts';
import { FenceChainStruct as N } from './internal/container-layout.ts';
import { getFence } from './internal/refs.ts';
import { tableOf } from './internal/table-of.ts';

/*
 * A timeline in one fence: each node stands for a point and knows the one before. A node has ended when its own fence and
 * those of all earlier points have. It signals like an array does: after the callbacks of the fence that was the last.
 */

/** A node that {@link fenceChainInit} cannot fail with. @throws KernelError ENOMEM @kernel dma_fence_chain_alloc */
export function fenceChainAlloc(machine: Machine): number {
  return allocChain(tableOf(machine));
}

/** Frees a node that was never initialised. @kernel dma_fence_chain_free */
export function fenceChainFree(machine: Machine, node: number): void {
  freeChain(tableOf(machine), node);
}

/**
 * Makes node `node` the point `seqno` behind `prev`: another node, a plain fence, or 0. The references on `prev` and `fence`
 * become the node's. A seqno that is not later than that of `prev` starts a new timeline. A WARN when `fence` is a chain.
 * @kernel dma_fence_chain_init
 */
export function fenceChainInit(machine: Machine, node: number, prev: number, fence: number, seqno: number): void {
  initChain(tableOf(machine), node, prev, fence, seqno);
}

/**
 * {@link fenceChainAlloc} and {@link fenceChainInit}.
 * @returns a fence with one reference.
 * @throws KernelError ENOMEM; then the references stay the caller's.
 */
export function fenceChainCreate(machine: Machine, prev: number, fence: number, seqno: number): number {
  const t = tableOf(machine);
  const node = allocChain(t);
  initChain(t, node, prev, fence, seqno);
  return node;
}

/** @kernel dma_fence_is_chain */
export function fenceIsChain(machine: Machine, ref: number): boolean {
  const t = tableOf(machine);
  return ref !== 0 && isChain(t, t.slab.at(ref));
}

/** The fence of the point, without a reference; a fence that is no node itself. @kernel dma_fence_chain_contained */
export function fenceChainContained(machine: Machine, ref: number): number {
  return containedIn(tableOf(machine), ref);
}

/** Seqno of the point before on the same timeline, 0 where it starts or the fence is no node. */
export function fenceChainPrevSeqno(machine: Machine, ref: number): number {
  const t = tableOf(machine);
  const p = t.slab.at(ref);
  return isChain(t, p) ? N.prevSeqno.get(t.mem, nodeAt(t, p)) : 0;
}

/**
 * Goes from a node to the one before, past those that have ended, which are dropped. Uses up the reference on `ref`.
 * @returns a reference, 0 at the end or when `ref` is no node.
 * @kernel dma_fence_chain_walk
 */
export function fenceChainWalk(machine: Machine, ref: number): number {
  return walkChain(tableOf(machine), ref);
}

/**
 * Finds what has to signal for point `seqno` of the chain `ref` (0 for none), and puts a reference on it in place of the one on
 * `ref`: a node, a fence that the timeline started with, or 0 when the point has passed. Point 0 answers with `ref` itself.
 * @throws KernelError EINVAL when the chain does not reach that far; then the reference on `ref` stays.
 * @kernel dma_fence_chain_find_seqno
 */
export function fenceChainFindSeqno(machine: Machine, ref: number, seqno: number): number {
  const found = findSeqno(tableOf(machine), ref, seqno);
  if (found !== undefined) return found;
  throw new KernelError('EINVAL', 'dma_fence_chain_find_seqno', `the chain does not reach point ${seqno}`);
}

/** A {@link Fence} that is a point of a timeline. @kernel dma_fence_chain */
export class FenceChain {
  readonly fence: Fence;

  private constructor(fence: Fence) {
    this.fence = fence;
  }

  /**
   * See {@link fenceChainInit}: takes over the references on `prev` and `fence`.
   * @throws KernelError ENOMEM; then they stay the caller's.
   * @kernel dma_fence_chain_init
   */
  static create(prev: Fence | FenceChain | undefined, fence: Fence, seqno: number): FenceChain {
    const { machine, ref } = fence;
    const before = prev instanceof FenceChain ? prev.fence : prev;
    return new FenceChain(Fence.of(machine, fenceChainCreate(machine, before?.ref ?? 0, ref, seqno)));
  }

  /** The node that a fence is, undefined for any other fence. @kernel to_dma_fence_chain */
  static of(fence: Fence): FenceChain | undefined {
    return fenceIsChain(fence.machine, fence.ref) ? new FenceChain(fence) : undefined;
  }

  /** See {@link fenceChainFindSeqno}: uses up the reference on `fence`. @throws KernelError EINVAL @kernel dma_fence_chain_find_seqno */
  static findSeqno(fence: Fence, seqno: number): Fence | undefined {
    const found = fenceChainFindSeqno(fence.machine, fence.ref, seqno);
    return found === 0 ? undefined : Fence.of(fence.machine, found);
  }

  get seqno(): number {
    return this.fence.seqno;
  }

  /** Seqno of the point before on the same timeline, 0 where it starts. */
  get prevSeqno(): number {
    return fenceChainPrevSeqno(this.fence.machine, this.fence.ref);
  }

  /** The fence of this point, without a reference. @kernel dma_fence_chain_contained */
  get contained(): Fence {
    return Fence.of(this.fence.machine, fenceChainContained(this.fence.machine, this.fence.ref));
  }

  /**
   * This node, then what came before as far as it has not ended; ended ones are dropped. Each is held until the next step.
   * @kernel dma_fence_chain_for_each
   */
  *walk(): Generator<Fence, void, undefined> {
    const { machine, ref } = this.fence;
    const t = tableOf(machine);
    getFence(t, ref);
    let node = ref;
    try {
      while (node !== 0) {
        yield Fence.of(machine, node);
        const from = node;
        node = 0;
        node = walkChain(t, from);
      }
    } finally {
      if (node !== 0) Fence.of(machine, node).put();
    }
  }
}
