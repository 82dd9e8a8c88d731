import { atomicCas, atomicLoad, atomicOr } from '@dmabuf-emu/shm';
import { defineFenceOps, type FenceOps } from '../ops.ts';
import { CAP_RELEASE, ENABLE_SIGNAL, FenceStruct as F, REF, RELEASES, SEQNO64 } from './layout.ts';
import { putFence } from './refs.ts';
import { signal } from './signal.ts';
import type { FenceTable } from './table.ts';

/** What a new fence is. */
export interface FenceInit {
  readonly ops: FenceOps;
  /** Its timeline: a number from {@link contextAlloc}. */
  readonly context: number;
  /** Its place on the timeline. */
  readonly seqno: number;
  /** Compare seqnos in full instead of modulo 2^32. @kernel dma_fence_init64 */
  readonly seqno64?: boolean;
  /** One word for the issuer. */
  readonly priv?: number;
}

/**
 * A fence with one reference. Plain stores: nobody knows it yet.
 * @throws KernelError ENOMEM
 * @kernel dma_fence_init
 */
export function create(t: FenceTable, init: FenceInit, site = 'dma_fence'): number {
  const driver = t.driverId(init.ops);
  const state = firstState(t, driver, init);
  const ref = t.slab.make(site, driver, init.context, init.priv ?? 0, state, init.seqno);
  if (t.tracing) t.trace('dma_fence_init', ref, t.slab.at(ref));
  return ref;
}

/** Makes a fence of the slot `ref`, fresh from the slab, of driver number `driver`. @kernel dma_fence_init */
export function initFence(t: FenceTable, ref: number, driver: number, init: FenceInit): void {
  const { i32 } = t.mem;
  const p = t.slab.at(ref);
  i32[p] = i32[p]! | driver;
  i32[p + F.context.at] = init.context;
  i32[p + F.priv.at] = init.priv ?? 0;
  F.seqno.set(t.mem, p, init.seqno);
  i32[p + F.callbacks.at] = 0;
  i32[p + F.owner.at] = 0;
  i32[p + F.state.at] = firstState(t, driver, init);
  if (t.tracing) t.trace('dma_fence_init', ref, p);
}

/** A fence's first state. Goes in last, plainly: from then on others may try for a reference, so only atomic updates follow. */
function firstState(t: FenceTable, driver: number, init: FenceInit): number {
  const releases = (t.capsOf(driver) & CAP_RELEASE) !== 0 ? RELEASES : 0;
  return REF | releases | (init.seqno64 === true ? SEQNO64 : 0);
}

const STUB_OPS = defineFenceOps({ name: 'stub', getDriverName: () => 'stub', getTimelineName: () => 'stub' });

/** The machine's one fence that has always been signalled. Does not take a reference. @kernel dma_fence_get_stub */
export function stub(t: FenceTable): number {
  const known = atomicLoad(t.mem, t.stubAt);
  if (known !== 0) return known;
  const made = privateStub(t, t.machine.clock.nowNs(), 'must:dma_fence_stub');
  const other = atomicCas(t.mem, t.stubAt, 0, made);
  if (other === 0) return made;
  putFence(t, made);
  return other;
}

/** A fresh fence that is signalled already. @throws KernelError ENOMEM @kernel dma_fence_allocate_private_stub */
export function privateStub(t: FenceTable, timestampNs: number, site = 'dma_fence_allocate_private_stub'): number {
  const ref = create(t, { ops: STUB_OPS, context: 0, seqno: 0 }, site);
  const p = t.slab.at(ref);
  atomicOr(t.mem, p + F.state.at, ENABLE_SIGNAL);
  signal(t, ref, p, timestampNs);
  return ref;
}
