import { defineFenceOps, Fence, fenceContextAlloc, type FenceDriver, type SignalRight } from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';

/** Fences that tests end by hand. */
export const testFences: FenceDriver = defineFenceOps({
  name: 'test',
  getDriverName: () => 'test',
  getTimelineName: () => 'timeline',
});

/** A fence of a context of its own that is not signalled; dropping the right ends it. */
export function pendingFence(machine: Machine): SignalRight {
  return Fence.create(machine, { ops: testFences, context: fenceContextAlloc(machine), seqno: 1 });
}
