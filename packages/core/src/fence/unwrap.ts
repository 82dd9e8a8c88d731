import { isKernelError, type Machine } from '@dmabuf-emu/shm';
import { Fence } from './fence.ts';
import { tableOf } from './internal/table-of.ts';
import { dedup, merge, UnwrapCursor } from './internal/unwrap.ts';

/**
 * The plain fences that a fence (0 for none) consists of, signalled ones too: for each node of a chain, newest first, the
 * members of its array or its one fence. Each is good until the next step.
 * @kernel dma_fence_unwrap_for_each
 */
export function* fenceUnwrap(machine: Machine, ref: number): Generator<Fence, void, undefined> {
  const cursor = new UnwrapCursor(tableOf(machine));
  try {
    for (let fence = cursor.first(ref); fence !== 0; fence = cursor.next()) yield Fence.of(machine, fence);
  } finally {
    cursor.end();
  }
}

/**
 * The latest fence of each timeline, in the order of their contexts. Takes over the references given and drops those on the
 * fences that it leaves out. @kernel dma_fence_dedup_array
 */
export function fenceDedup(machine: Machine, refs: readonly number[]): number[] {
  return dedup(tableOf(machine), refs);
}

/**
 * One fence that stands for all of `refs` (0 allowed), and never consists of arrays or chains: a reference to the one that has
 * not ended; to a new array of the latest fence of each timeline; or, when all have ended, to a new signalled fence with the
 * latest of their time stamps. Uses up no reference.
 * @returns 0 when there is no memory.
 * @kernel dma_fence_unwrap_merge
 */
export function fenceUnwrapMerge(machine: Machine, refs: readonly number[]): number {
  try {
    return merge(tableOf(machine), refs);
  } catch (error) {
    if (isKernelError(error, 'ENOMEM')) return 0;
    throw error;
  }
}

/** {@link fenceUnwrapMerge} over handles. @throws KernelError ENOMEM @kernel dma_fence_unwrap_merge */
export function mergeFences(machine: Machine, fences: readonly Fence[]): Fence {
  return Fence.of(
    machine,
    merge(
      tableOf(machine),
      fences.map((fence) => fence.ref),
    ),
  );
}
