import { atomicLoad, syncPoint } from '@dmabuf-emu/shm';
import { type CallbackDriver, defineFenceCallback } from '../callback.ts';
import { defineFenceOps, type FenceDriver } from '../ops.ts';
import { containedIn, forEachPoint, freeNode, isChain, nodeAt, walkChain } from './chain.ts';
import { FenceChainStruct as N } from './container-layout.ts';
import { CallbackStruct as C, ENABLE_SIGNAL, FenceStruct as F, REF_SHIFT, SIGNALED, STATE } from './layout.ts';
import { withLock } from './lock.ts';
import { isSignaled } from './poll.ts';
import { getFence, putFence, tryGetFence } from './refs.ts';
import { addCallback } from './register.ts';
import { signal } from './signal.ts';
import { setDeadline } from './status.ts';
import type { FenceTable } from './table.ts';

/** The operations of chain nodes, over one thread's table. @kernel dma_fence_chain_ops */
export function chainOps(t: FenceTable): FenceDriver {
  return defineFenceOps({
    name: 'dma_fence_chain',
    isContainer: true,
    getDriverName: () => 'dma_fence_chain',
    getTimelineName: () => 'unbound',
    enableSignaling: (fence) => enableChain(t, fence.ref),
    signaled: (fence) => chainSignaled(t, fence.ref),
    release: (fence) => releaseChain(t, fence.ref),
    setDeadline(fence, deadlineNs) {
      forEachPoint(t, fence.ref, (contained, p) => {
        setDeadline(t, contained, p, deadlineNs);
        return true;
      });
    },
  });
}

/** What a point's fence does when it ends; its lock is held. @kernel dma_fence_chain_cb */
export function chainCallback(t: FenceTable): CallbackDriver {
  return defineFenceCallback({
    name: 'dma_fence_chain_cb',
    run(contained, callback) {
      const ref = callback.arg;
      syncPoint('fence_chain.work', t.slab.at(ref));
      N.work.store(t.mem, nodeAt(t, t.slab.at(ref)), t.machine.tid);
      t.machine.irqWork(() => goOn(t, ref));
      putFence(t, contained.ref);
    },
  });
}

/**
 * Puts the node's callback on the first fence, from the newest point back, that has not ended; false when all have.
 * @kernel dma_fence_chain_enable_signaling
 */
function enableChain(t: FenceTable, ref: number): boolean {
  const cb = N.callback.get(t.mem, nodeAt(t, t.slab.at(ref)));
  getFence(t, ref);
  getFence(t, ref);
  for (let node = ref; node !== 0; node = walkChain(t, node)) {
    const contained = containedIn(t, node);
    getFence(t, contained);
    if (addCallback(t, contained, t.slab.at(contained), cb)) {
      putFence(t, node);
      return true;
    }
    putFence(t, contained);
  }
  putFence(t, ref);
  return false;
}

/**
 * After a point's fence has ended: waits for the next one, or ends the node. Uses up a reference. The lock, which the kernel
 * does without, is for reapers: whoever comes second finds the callback on a fence. @kernel dma_fence_chain_irq_work
 */
function goOn(t: FenceTable, ref: number): void {
  const p = t.slab.at(ref);
  const n = nodeAt(t, p);
  N.work.store(t.mem, n, 0);
  if (!withLock(t, p, () => isQueued(t, n) || enableChain(t, ref))) signal(t, ref, p);
  putFence(t, ref);
}

/** Whether the callback of the node struct at word `n` is on a fence. */
function isQueued(t: FenceTable, n: number): boolean {
  return C.fence.load(t.mem, t.callbacks.at(N.callback.get(t.mem, n))) !== 0;
}

/** Whether the fences of all points have ended. @kernel dma_fence_chain_signaled */
function chainSignaled(t: FenceTable, ref: number): boolean {
  let all = true;
  forEachPoint(t, ref, (contained, p) => (all = isSignaled(t, contained, p)));
  return all;
}

/**
 * The last reference to a node is gone. Nodes before it that nobody else holds are taken out one by one, so that a long chain
 * does not end in a call for each node. @kernel dma_fence_chain_release
 */
function releaseChain(t: FenceTable, ref: number): void {
  const { mem } = t;
  const p = t.slab.at(ref);
  const n = nodeAt(t, p);
  let prev = N.prev.load(mem, n);
  while (prev !== 0) {
    const pp = t.slab.at(prev);
    if (atomicLoad(mem, pp + STATE) >>> REF_SHIFT > 1 || !isChain(t, pp)) break;
    const pn = nodeAt(t, pp);
    const before = N.prev.exchange(mem, pn, 0);
    N.prev.store(mem, n, before);
    putFence(t, prev);
    prev = before;
  }
  // Each reference leaves the node before it is dropped: a task that dies here loses it, but drops none twice.
  if (N.prev.exchange(mem, n, 0) !== 0) putFence(t, prev);
  putFence(t, N.fence.exchange(mem, n, 0));
  freeNode(t, F.priv.get(mem, p));
}

/**
 * Finishes what task `task` left undone when it died, for the node behind the struct `slot`: work that it had taken on, or was
 * about to, which shows when somebody waits for the node but neither a callback nor a task will end it.
 */
export function reapChain(t: FenceTable, slot: number, task: number): void {
  const n = t.containers.chains.tryAt(slot);
  const base = n === 0 ? 0 : N.base.get(t.mem, n);
  const p = base === 0 ? 0 : tryGetFence(t, base);
  if (p === 0) return;
  if (N.work.cas(t.mem, n, task, t.machine.tid) === task) goOn(t, base);
  const state = F.state.load(t.mem, p);
  const waited = (state & (ENABLE_SIGNAL | SIGNALED)) === ENABLE_SIGNAL;
  // goOn uses the reference up.
  if (waited && N.work.load(t.mem, n) === 0 && !isQueued(t, n)) goOn(t, base);
  else putFence(t, base);
}
