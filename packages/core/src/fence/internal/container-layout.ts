import { i32, ref, struct, u53 } from '@dmabuf-emu/shm';

/** @kernel PENDING_ERROR */
export const PENDING_ERROR = 1;

/** The members of a fence array, and how far they are. `priv` of the fence is its ref. @kernel dma_fence_array */
export const FenceArrayStruct = struct('dma_fence_array', {
  /** The fence that it belongs to. */
  base: ref(),
  count: i32(),
  /** Signals of members that are missing; may go below 0. */
  pending: i32(),
  /** First error of a member; {@link PENDING_ERROR} as long as there is none, 0 once there will be none. */
  error: i32(),
  /** Members that have to end for the array to end. */
  needed: i32(),
  /** A task died that may have had a member's signal in hand: do not go by `pending`, look at the members. */
  lossy: i32(),
  /** Task that is about to end the array, 0 for none. A reference on the array belongs to it. */
  work: i32(),
  /** Slot of kmem with the refs of the members, then of their callbacks. */
  vector: ref(),
});
/** A node of a chain: `priv` of the fence is its ref. @kernel dma_fence_chain */
export const FenceChainStruct = struct('dma_fence_chain', {
  /** The fence that it belongs to. */
  base: ref(),
  /** What came before: a node, a plain fence that the timeline starts with, or nothing. Holds a reference. */
  prev: ref(),
  /** The fence of this point. Holds a reference. */
  fence: ref(),
  /** The node's one callback; while it is on a fence, that and the node are held. */
  callback: ref(),
  /** Task that is about to look for the next fence to wait for, 0 for none. A reference on the node belongs to it. */
  work: i32(),
  /** Seqno of the node before, 0 where a timeline starts. */
  prevSeqno: u53(),
});
