import type { I32Field, Slab, VerifyBuilder } from '@dmabuf-emu/shm';
import type { FenceDriver } from '../ops.ts';
import { callbacksOf, membersOf } from './array.ts';
import { arrayCallback, arrayOps, reapArray } from './array-ops.ts';
import { chainCallback, chainOps, reapChain } from './chain-ops.ts';
import { FenceArrayStruct as A, FenceChainStruct as N } from './container-layout.ts';
import { CallbackStruct as C } from './layout.ts';
import type { FenceTable } from './table.ts';
import { reportLeft } from './verify.ts';

/** One thread's part of fences that consist of others. Every thread has it, so any thread can walk and end them. */
export interface Containers {
  readonly array: FenceDriver;
  readonly arrayId: number;
  readonly arrayFunc: number;
  readonly arrays: Slab;
  readonly chain: FenceDriver;
  readonly chainId: number;
  readonly chainFunc: number;
  readonly chains: Slab;
}

/** Makes arrays and chains known to this thread. */
export function installContainers(t: FenceTable): void {
  const { machine } = t;
  const [array, chain, arrayCb, chainCb] = [arrayOps(t), chainOps(t), arrayCallback(t), chainCallback(t)];
  t.containers = {
    array,
    arrayId: t.driverId(array),
    arrayFunc: machine.drivers.register('fence-cb', arrayCb.name, arrayCb),
    arrays: machine.slab(A),
    chain,
    chainId: t.driverId(chain),
    chainFunc: machine.drivers.register('fence-cb', chainCb.name, chainCb),
    chains: machine.slab(N),
  };
  t.holders.set('dma_fence_array', (hold) => holdMembers(t, hold));
  t.holders.set('dma_fence_chain', (hold) => holdPoints(t, hold));
  t.callbackHolders.set('dma_fence_array', (own) => {
    for (const a of words(t.containers.arrays, A.base)) for (const cb of callbacksOf(t, a)) own(cb);
  });
  t.callbackHolders.set('dma_fence_chain', (own) => {
    for (const n of words(t.containers.chains, N.callback)) own(N.callback.get(t.mem, n));
  });
}

/** Finishes for task `task`, which died, what arrays and chains wait for. */
export function reapContainers(t: FenceTable, task: number): void {
  for (const slot of t.containers.arrays.live()) reapArray(t, slot, task);
  for (const slot of t.containers.chains.live()) reapChain(t, slot, task);
}

/** Reports what is left of arrays and chains whose fence is gone. */
export function verifyContainers(t: FenceTable, report: VerifyBuilder): void {
  for (const [slab, base] of [
    [t.containers.arrays, A.base],
    [t.containers.chains, N.base],
  ] as const) {
    for (const slot of slab.live()) {
      if (t.slab.tryAt(base.get(t.mem, slab.at(slot))) !== 0) continue;
      reportLeft(t, slab, slot, `${slab.struct.$name} #${slot >>> 0} belongs to no fence`, report);
    }
  }
}

/** Words of the structs of a slab that are whole: their allocation got as far as the field. */
function* words(slab: Slab, field: I32Field): Generator<number> {
  for (const slot of slab.live()) if (field.load(slab.machine.mem, slab.at(slot)) !== 0) yield slab.at(slot);
}

function holdMembers(t: FenceTable, hold: (ref: number) => void): void {
  for (const a of words(t.containers.arrays, A.base)) {
    const base = A.base.get(t.mem, a);
    for (const member of membersOf(t, a)) if (member !== 0) hold(member);
    for (const cb of callbacksOf(t, a)) if (cb !== 0 && queuedOn(t, cb) !== 0) hold(base);
    if (A.work.get(t.mem, a) !== 0) hold(base);
  }
}

function holdPoints(t: FenceTable, hold: (ref: number) => void): void {
  for (const n of words(t.containers.chains, N.callback)) {
    const base = N.base.get(t.mem, n);
    const waitsFor = queuedOn(t, N.callback.get(t.mem, n));
    for (const ref of [N.prev.get(t.mem, n), N.fence.get(t.mem, n), waitsFor]) if (ref !== 0) hold(ref);
    if (waitsFor !== 0 || N.work.get(t.mem, n) !== 0) hold(base);
  }
}

/** The fence that callback `cb` is on, 0 for none. */
function queuedOn(t: FenceTable, cb: number): number {
  return C.fence.load(t.mem, t.callbacks.at(cb));
}
