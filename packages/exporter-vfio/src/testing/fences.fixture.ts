import {
  defineFenceOps,
  Fence,
  fenceContextAlloc,
  registerDrivers,
  type ResvUsage,
  type SignalRight,
} from '@dmabuf-emu/core';
import type { DmaBuf } from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';

const ops = defineFenceOps({ name: 'test-engine', getDriverName: () => 'test-engine', getTimelineName: () => 'ring0' });

/** Work on a buffer that is under way: a fence of class `usage` in its reservation object. */
export function addWork(machine: Machine, dmabuf: DmaBuf, usage: ResvUsage): SignalRight {
  registerDrivers(machine, [ops]);
  const right = Fence.create(machine, { ops, context: fenceContextAlloc(machine), seqno: 1 });
  dmabuf.resv.with(() => {
    dmabuf.resv.reserveFences(1);
    dmabuf.resv.addFence(right.fence, usage);
  });
  return right;
}
