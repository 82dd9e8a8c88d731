import { atomicExchange, atomicLoad, type Machine } from '@dmabuf-emu/shm';
import { pushFresh } from './wake.ts';
import { EpollItemStruct as I, EpollStruct as P } from './structs.ts';

/*
 * The ready list of the epoll file at word `p`. Everything but `hasReady` needs its mutex.
 */

/** Whether any item is to be looked at. @kernel ep_events_available */
export function hasReady(machine: Machine, p: number): boolean {
  return P.readyFirst.load(machine.mem, p) !== 0 || P.fresh.load(machine.mem, p) !== 0;
}

/** Puts an item at the end, unless it is on the list. @kernel list_add_tail */
export function listLast(machine: Machine, p: number, ref: number): void {
  const { mem } = machine;
  const slab = machine.slab(I);
  const item = slab.at(ref);
  if (I.listed.load(mem, item) !== 0) return;
  const last = P.readyLast.get(mem, p);
  I.readyNext.set(mem, item, 0);
  I.readyPrev.set(mem, item, last);
  P.readyLast.set(mem, p, ref);
  if (last === 0) P.readyFirst.store(mem, p, ref);
  else I.readyNext.set(mem, slab.at(last), ref);
  I.listed.store(mem, item, 1);
}

/** Puts an item at the front, unless it is on the list. @kernel list_add */
export function listFirst(machine: Machine, p: number, ref: number): void {
  const { mem } = machine;
  const slab = machine.slab(I);
  const item = slab.at(ref);
  if (I.listed.load(mem, item) !== 0) return;
  const first = P.readyFirst.get(mem, p);
  I.readyNext.set(mem, item, first);
  I.readyPrev.set(mem, item, 0);
  P.readyFirst.store(mem, p, ref);
  if (first === 0) P.readyLast.set(mem, p, ref);
  else I.readyPrev.set(mem, slab.at(first), ref);
  I.listed.store(mem, item, 1);
}

/** Takes an item off the list, if it is there: what wakes it from now on puts it among the fresh ones. @kernel list_del_init */
export function unlist(machine: Machine, p: number, ref: number): void {
  const { mem } = machine;
  const slab = machine.slab(I);
  const item = slab.at(ref);
  if (I.listed.load(mem, item) === 0) return;
  const next = I.readyNext.get(mem, item);
  const prev = I.readyPrev.get(mem, item);
  if (prev === 0) P.readyFirst.store(mem, p, next);
  else I.readyNext.set(mem, slab.at(prev), next);
  if (next === 0) P.readyLast.set(mem, p, prev);
  else I.readyPrev.set(mem, slab.at(next), prev);
  I.listed.store(mem, item, 0);
}

/** Items that became fresh, in order; they are so no longer. */
export function takeFresh(machine: Machine, p: number): number[] {
  const { mem } = machine;
  const slab = machine.slab(I);
  const taken: number[] = [];
  if (atomicLoad(mem, p + P.fresh.at) === 0) return taken;
  for (let ref = atomicExchange(mem, p + P.fresh.at, 0); ref !== 0;) {
    const item = slab.at(ref);
    taken.push(ref);
    ref = I.freshNext.get(mem, item);
    I.fresh.store(mem, item, 0);
  }
  return taken.toReversed();
}

/** Puts the items that became fresh at the end of the list, in order. */
export function listFresh(machine: Machine, p: number): void {
  for (const ref of takeFresh(machine, p)) listLast(machine, p, ref);
}

/** Items on the list, in order. */
export function readyItems(machine: Machine, p: number): number[] {
  const { mem } = machine;
  const slab = machine.slab(I);
  const found: number[] = [];
  for (let ref = P.readyFirst.get(mem, p); ref !== 0; ref = I.readyNext.get(mem, slab.at(ref))) found.push(ref);
  return found;
}

/** Hands over the items that a dead task marked as fresh and did not get round to handing over. */
export function finishFresh(machine: Machine, p: number, items: Iterable<number>, dead: number): void {
  const { mem } = machine;
  listFresh(machine, p);
  for (const ref of items) {
    const item = machine.slab(I).at(ref);
    if (I.fresh.load(mem, item) === dead) pushFresh(machine, p, ref, item);
  }
}
