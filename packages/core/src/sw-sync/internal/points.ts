import { type Machine, orUndo, refInc } from '@dmabuf-emu/shm';
import type { Fence } from '../../fence/fence.ts';
import { fenceCheckAndSignal, fenceCreate, fencePut, fenceSetError, fenceTryGet } from '../../fence/functions.ts';
import { builtinFenceOps } from '../../fence/ops.ts';
import { PointStruct as P, TimelineStruct as T } from './structs.ts';
import { isLater, placeFor, pointsOf, putTimeline, unlinkPoint, withTimeline } from './timeline.ts';

/** @kernel timeline_fence_ops */
const SW_SYNC_OPS = builtinFenceOps({
  name: 'sw_sync',
  getDriverName: () => 'sw_sync',
  getTimelineName: ({ machine, priv }) => machine.string(T.name.get(machine.mem, timelineOf(machine, priv))),
  signaled: ({ machine, priv }) => {
    const seqno = P.seqno.get(machine.mem, machine.slab(P).at(priv));
    return !isLater(seqno, T.value.load(machine.mem, timelineOf(machine, priv)));
  },
  release: ({ machine, priv }) => freePoint(machine, priv),
  setDeadline: ({ machine, priv }, deadlineNs) => {
    const { mem } = machine;
    const p = machine.slab(P).at(priv);
    withTimeline(machine, timelineOf(machine, priv), () => {
      if (P.hasDeadline.get(mem, p) !== 0 && P.deadline.get(mem, p) <= deadlineNs) return;
      P.deadline.set(mem, p, deadlineNs);
      P.hasDeadline.set(mem, p, 1);
    });
  },
});

/**
 * A reference to the fence that ends when the timeline at word `t` reaches `seqno`: a new one, or the pending one that is
 * there already. @throws KernelError ENOMEM @kernel sync_pt_create
 */
export function createPoint(machine: Machine, timeline: number, seqno: number): number {
  const { mem } = machine;
  const t = machine.slab(T).at(timeline);
  const slab = machine.slab(P);
  const point = slab.alloc('sync_pt_create');
  const context = T.context.get(mem, t);
  const fence = orUndo(
    () => fenceCreate(machine, { ops: SW_SYNC_OPS, context, seqno: seqno >>> 0, priv: point }),
    () => slab.free(point, 'sync_pt_create'),
  );
  const p = slab.at(point);
  refInc(machine, t, T.refs);
  P.timeline.set(mem, p, timeline);
  P.seqno.set(mem, p, seqno);
  P.fence.set(mem, p, fence);
  const same = withTimeline(machine, t, () => insertPoint(machine, t, point));
  if (same === 0) return fence;
  fencePut(machine, fence);
  return same;
}

/** Puts a point on the timeline unless it is reached; or finds the one with its seqno, and takes a reference to its fence. */
function insertPoint(machine: Machine, t: number, point: number): number {
  const { mem } = machine;
  const slab = machine.slab(P);
  const p = slab.at(point);
  const seqno = P.seqno.get(mem, p);
  if (!isLater(seqno, T.value.get(mem, t))) {
    fenceCheckAndSignal(machine, P.fence.get(mem, p));
    return 0;
  }
  const at = placeFor(machine, t, seqno);
  const next = mem.i32[at]!;
  if (next !== 0 && P.seqno.get(mem, slab.at(next)) === seqno) {
    const fence = P.fence.get(mem, slab.at(next));
    if (fenceTryGet(machine, fence)) return fence;
  }
  P.next.set(mem, p, next);
  P.listed.set(mem, p, 1);
  mem.i32[at] = point;
  if (next === 0) T.last.set(mem, t, point);
  return 0;
}

/**
 * Moves the timeline at word `t` on by `step` and ends the fences that it reaches, in their order.
 * @kernel sync_timeline_signal
 */
export function signalPoints(machine: Machine, t: number, step: number): void {
  const { mem } = machine;
  const slab = machine.slab(P);
  const ended: number[] = [];
  withTimeline(machine, t, () => {
    T.value.store(mem, t, (T.value.get(mem, t) + step) | 0);
    for (const point of pointsOf(machine, t)) {
      const p = slab.at(point);
      if (isLater(P.seqno.get(mem, p), T.value.get(mem, t))) break;
      const fence = P.fence.get(mem, p);
      unlinkPoint(machine, t, point);
      if (!fenceTryGet(machine, fence)) continue;
      ended.push(fence);
      fenceCheckAndSignal(machine, fence);
    }
  });
  for (const fence of ended) fencePut(machine, fence);
}

/** The timeline's file is gone: what it has not reached ends with ENOENT, in order, and stays on it. @kernel sw_sync_debugfs_release */
export function abandonPoints(machine: Machine, t: number): void {
  const { mem } = machine;
  const slab = machine.slab(P);
  const ended: number[] = [];
  withTimeline(machine, t, () => {
    T.closed.set(mem, t, 1);
    for (const point of pointsOf(machine, t)) {
      const fence = P.fence.get(mem, slab.at(point));
      if (!fenceTryGet(machine, fence)) continue;
      ended.push(fence);
      fenceSetError(machine, fence, 'ENOENT');
      fenceCheckAndSignal(machine, fence);
    }
  });
  for (const fence of ended) fencePut(machine, fence);
}

/** Ends fences that a task had taken off its timeline, and died before it ended them. */
export function finishPoints(machine: Machine): void {
  const { mem } = machine;
  const slab = machine.slab(P);
  for (const point of slab.live()) {
    const p = slab.tryAt(point);
    const fence = p === 0 || P.listed.get(mem, p) !== 0 ? 0 : P.fence.get(mem, p);
    if (!fenceTryGet(machine, fence)) continue;
    if (!isLater(P.seqno.get(mem, p), T.value.load(mem, timelineOf(machine, point))))
      fenceCheckAndSignal(machine, fence);
    fencePut(machine, fence);
  }
}

/** The point behind a fence of a timeline; undefined for other fences. @kernel dma_fence_to_sync_pt */
export function pointOf(machine: Machine, fence: Fence): number | undefined {
  return fence.isOf(SW_SYNC_OPS) ? machine.slab(P).at(fence.priv) : undefined;
}

/** The last reference to a point's fence is gone. @kernel timeline_fence_release */
function freePoint(machine: Machine, point: number): void {
  const slab = machine.slab(P);
  const timeline = P.timeline.get(machine.mem, slab.at(point));
  const t = machine.slab(T).at(timeline);
  withTimeline(machine, t, () => unlinkPoint(machine, t, point));
  slab.free(point, 'timeline_fence_release');
  putTimeline(machine, timeline);
}

function timelineOf(machine: Machine, point: number): number {
  return machine.slab(T).at(P.timeline.get(machine.mem, machine.slab(P).at(point)));
}
