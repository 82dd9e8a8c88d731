import { defineFenceCallback, defineFenceOps, Fence, fenceCreate, type FenceOps } from '@dmabuf-emu/core';
import { atomicAdd, type Machine } from '@dmabuf-emu/shm';

/** The fence of the kernel's own tests: two names and nothing else. */
export const mockOps: FenceOps = defineFenceOps({
  name: 'mock',
  getDriverName: () => 'mock',
  getTimelineName: () => 'mock',
});

/** The fence of the kernel's tests of chains: it has a release of its own, so its driver stays attached. */
export const chainMockOps = defineFenceOps({
  name: 'chain-mock',
  getDriverName: () => 'mock',
  getTimelineName: () => 'mock',
  release: () => {},
});

/** A mock fence with one reference. */
export function mockFence(machine: Machine, context = 0, seqno = 0, ops: FenceOps = mockOps): Fence {
  return Fence.of(machine, fenceCreate(machine, { ops, context, seqno }));
}

/** Counts its calls in the word that is its argument. */
export const countCallback = defineFenceCallback({
  name: 'test-count',
  run(fence, callback) {
    atomicAdd(fence.machine.mem, callback.arg, 1);
  },
});
