import {
  defineFenceOps,
  Fence,
  fenceContextAlloc,
  fenceCreate,
  type FenceDriver,
  fencePut,
  fenceSignal,
  fenceTestSignaledFlag,
  fenceTryGet,
} from '@dmabuf-emu/core';
import { type Machine, orUndo, type TimerOps } from '@dmabuf-emu/shm';

/** A fence that nobody signals ends by itself after this long. @kernel VGEM_FENCE_TIMEOUT */
export const VGEM_FENCE_TIMEOUT_MS = 10_000;

/** Ends a fence whose time has passed. @kernel vgem_fence_timeout */
export const vgemTimeout: TimerOps = {
  name: 'vgem_fence',
  expire: (machine, fence) => {
    if (!fenceTryGet(machine, fence)) return;
    fenceSignal(machine, fence);
    fencePut(machine, fence);
  },
};

/** Its word names the timer. @kernel vgem_fence_ops */
export const vgemFenceOps: FenceDriver = defineFenceOps({
  name: 'vgem',
  getDriverName: () => 'vgem',
  getTimelineName: () => 'unbound',
  release: ({ machine, priv }) => void machine.timers.cancel(priv),
});

/** A fence of its own timeline with one reference, which nobody needs a right to signal. @kernel vgem_fence_create @throws KernelError ENOMEM */
export function createVgemFence(machine: Machine): Fence {
  const init = { ops: vgemFenceOps, context: fenceContextAlloc(machine), seqno: 1 };
  const fence = Fence.of(machine, fenceCreate(machine, init));
  orUndo(
    () => (fence.priv = machine.timers.start(vgemTimeout, fence.ref, VGEM_FENCE_TIMEOUT_MS)),
    () => fence.put(),
  );
  return fence;
}

/** Ends the fence and drops a reference; false when it had ended before. */
export function endVgemFence(machine: Machine, ref: number): boolean {
  const inTime = !fenceTestSignaledFlag(machine, ref);
  fenceSignal(machine, ref);
  fencePut(machine, ref);
  return inTime;
}
