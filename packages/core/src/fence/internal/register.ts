import { KernelError } from '@dmabuf-emu/shm';
import { CallbackStruct as C } from './layout.ts';
import { withLock } from './lock.ts';
import { enableLocked, testFlag } from './poll.ts';
import { append, makeEmpty, unlink } from './ring.ts';
import type { FenceTable } from './table.ts';

/**
 * Queues a callback; false when the fence is signalled already: then it is not called.
 * @throws KernelError EINVAL after a WARN when it is on a fence already.
 * @kernel dma_fence_add_callback
 */
export function addCallback(t: FenceTable, ref: number, p: number, cb: number): boolean {
  const c = t.callbacks.at(cb);
  if (C.fence.load(t.mem, c) !== 0) {
    t.machine.diag.warn('fence-cb-queued', 'a callback that is on a fence was added again');
    throw new KernelError('EINVAL', 'dma_fence_add_callback', 'the callback is on a fence already');
  }
  makeEmpty(t, c);
  if (testFlag(t, p)) return false;
  return withLock(t, p, () => {
    if (!enableLocked(t, ref, p)) return false;
    append(t, ref, p, cb);
    return true;
  });
}

/** Takes a callback off the fence; false when it ran or was not on it. @kernel dma_fence_remove_callback */
export function removeCallback(t: FenceTable, ref: number, p: number, cb: number): boolean {
  return withLock(t, p, () => {
    const queued = C.fence.get(t.mem, t.callbacks.at(cb)) === ref;
    if (queued) unlink(t, p, cb);
    return queued;
  });
}
