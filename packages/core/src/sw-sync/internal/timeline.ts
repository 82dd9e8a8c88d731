import { bitSpinLock, bitSpinUnlock, type Machine, refDec, refIncNotZero, TaskKilled, withSpin } from '@dmabuf-emu/shm';
import { PointStruct as P, TimelineStruct as T } from './structs.ts';

const LOCK = 1;
/** Words of the room's static area: spin lock of the list of timelines, the newest one. */
const LIST_LOCK = 0;
const LIST = 1;

/** Runs `fn` with the timeline's spin lock held; a killed task leaves it to the reaper. */
export function withTimeline<R>(machine: Machine, t: number, fn: () => R): R {
  const at = t + T.lock.at;
  bitSpinLock(machine, at, LOCK);
  let result: R;
  try {
    result = fn();
  } catch (error) {
    if (!(error instanceof TaskKilled)) bitSpinUnlock(machine, at, LOCK);
    throw error;
  }
  bitSpinUnlock(machine, at, LOCK);
  return result;
}

/** Whether seqno `a` comes after `b`, modulo 2^32. @kernel __dma_fence_is_later */
export function isLater(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}

/** The points of the timeline at word `t`, ascending; each may be taken off while it is visited. The lock must be held. */
export function* pointsOf(machine: Machine, t: number): Generator<number> {
  const slab = machine.slab(P);
  for (let ref = T.points.get(machine.mem, t); ref !== 0;) {
    const next = P.next.get(machine.mem, slab.at(ref));
    yield ref;
    ref = next;
  }
}

/**
 * Word that refers to the first point behind those before `seqno`: a new point with that seqno goes there. A point with an
 * equal seqno comes next. The lock must be held.
 */
export function placeFor(machine: Machine, t: number, seqno: number): number {
  const { mem } = machine;
  const slab = machine.slab(P);
  let at = t + T.points.at;
  const last = slab.tryAt(T.last.get(mem, t));
  if (last !== 0 && P.listed.get(mem, last) !== 0 && isLater(seqno, P.seqno.get(mem, last))) at = last + P.next.at;
  for (let ref = mem.i32[at]!; ref !== 0 && isLater(seqno, P.seqno.get(mem, slab.at(ref))); ref = mem.i32[at]!) {
    at = slab.at(ref) + P.next.at;
  }
  return at;
}

/** Takes a point off the timeline, if it is on it. The lock must be held. */
export function unlinkPoint(machine: Machine, t: number, ref: number): void {
  const { mem } = machine;
  const slab = machine.slab(P);
  const p = slab.at(ref);
  if (P.listed.get(mem, p) === 0) return;
  P.listed.set(mem, p, 0);
  for (let at = t + T.points.at; mem.i32[at] !== 0; at = slab.at(mem.i32[at]!) + P.next.at) {
    if (mem.i32[at] !== ref) continue;
    mem.i32[at] = P.next.get(mem, p);
    return;
  }
}

/** Drops a reference on a timeline. @kernel sync_timeline_put, sync_timeline_free */
export function putTimeline(machine: Machine, timeline: number): void {
  const slab = machine.slab(T);
  if (!refDec(machine, slab.at(timeline), T.refs)) return;
  const { mem } = machine;
  const root = listRoot(machine);
  withSpin(machine, root + LIST_LOCK, () => {
    for (let at = root + LIST; mem.i32[at] !== 0; at = slab.at(mem.i32[at]!) + T.next.at) {
      if (mem.i32[at] !== timeline) continue;
      mem.i32[at] = T.next.get(mem, slab.at(timeline));
      break;
    }
  });
  slab.free(timeline, 'sync_timeline_free');
}

/** Makes a timeline visible in `sync/info`. @kernel sync_timeline_debug_add */
export function listTimeline(machine: Machine, timeline: number): void {
  const root = listRoot(machine);
  withSpin(machine, root + LIST_LOCK, () => {
    T.next.set(machine.mem, machine.slab(T).at(timeline), machine.mem.i32[root + LIST]!);
    machine.mem.i32[root + LIST] = timeline;
  });
}

/** All timelines in the order in which they were made, with a reference each. */
export function getTimelines(machine: Machine): number[] {
  const { mem } = machine;
  const slab = machine.slab(T);
  const root = listRoot(machine);
  const found: number[] = [];
  withSpin(machine, root + LIST_LOCK, () => {
    for (let ref = mem.i32[root + LIST]!; ref !== 0; ref = T.next.get(mem, slab.at(ref))) {
      if (refIncNotZero(machine, slab.at(ref), T.refs)) found.push(ref);
    }
  });
  return found.toReversed();
}

function listRoot(machine: Machine): number {
  return machine.root('core.sw-sync', 16);
}
