import {
  atomicAdd,
  atomicCas,
  atomicLoad,
  type Machine,
  syncPoint,
  taskAt,
  TaskStruct,
  WaitQueue,
  waitQueueOf,
  withSpin,
} from '@dmabuf-emu/shm';
import { PollEvents } from '../poll-events.ts';
import {
  EpollItemStruct as I,
  EpollStruct as P,
  HEAD_FIRST,
  HEAD_LOCK,
  HEAD_SLEEPERS,
  PollEntryStruct as E,
} from './structs.ts';

/** Bits of a registration that are no events. @kernel EP_PRIVATE_BITS */
export const PRIVATE_BITS: number = PollEvents.WAKEUP | PollEvents.ONESHOT | PollEvents.ET | PollEvents.EXCLUSIVE;

/** The queue of those who wait on the head at word `head` without registering. */
export function sleepersOf(machine: Machine, head: number, name: string): WaitQueue {
  return new WaitQueue(machine, head + HEAD_SLEEPERS, name);
}

/** Wakes everybody on the head at word `head`. @kernel __wake_up */
export function wakeHead(machine: Machine, head: number, key: number): void {
  withSpin(machine, head + HEAD_LOCK, () => wakeHeadLocked(machine, head, key));
}

/**
 * Wakes those on the head, newest first, that wait for one of the events `key`; everybody for 0. The head's lock must be held.
 * @kernel __wake_up_common
 */
export function wakeHeadLocked(machine: Machine, head: number, key: number): void {
  const { mem } = machine;
  const slab = machine.slab(E);
  for (let ref = atomicLoad(mem, head + HEAD_FIRST); ref !== 0;) {
    const p = slab.at(ref);
    ref = E.next.get(mem, p);
    const item = E.item.get(mem, p);
    const woke = item === 0 ? wakeTask(machine, p, key) : itemReady(machine, item, key);
    if (woke && E.exclusive.get(mem, p) !== 0) break;
  }
  sleepersOf(machine, head, 'poll').wakeAll();
}

/** @kernel pollwake */
function wakeTask(machine: Machine, p: number, key: number): boolean {
  const { mem } = machine;
  if (key !== 0 && (key & E.key.get(mem, p)) === 0) return false;
  const event = taskAt(E.task.get(mem, p)) + TaskStruct.mailEvent.at;
  atomicAdd(mem, event, 1);
  machine.wake(event);
  return true;
}

/**
 * The file of an epoll item woke its waiters: the item is to be looked at. Takes no lock of the epoll file, and may be called
 * while that looks at its items. @returns whether a waiter that was to be woken alone has been found.
 * @kernel ep_poll_callback
 */
function itemReady(machine: Machine, ref: number, key: number): boolean {
  const { mem } = machine;
  const item = machine.slab(I).at(ref);
  const events = I.events.load(mem, item);
  const alone = (events & PollEvents.EXCLUSIVE) !== 0;
  if ((events & ~PRIVATE_BITS) === 0 || (key !== 0 && (key & events) === 0)) return !alone;
  const p = machine.slab(P).at(I.ep.get(mem, item));
  if (I.listed.load(mem, item) === 0 && I.fresh.cas(mem, item, 0, machine.tid) === 0) pushFresh(machine, p, ref, item);
  waitQueueOf(machine, p, P.waiters).wakeAll();
  wakeHead(machine, p + P.head.at, PollEvents.IN);
  const inOut = key & (PollEvents.IN | PollEvents.OUT);
  return !alone || inOut === 0 || (inOut & events) !== 0;
}

/** Hands an item that is marked as fresh to the epoll file at word `p`. */
export function pushFresh(machine: Machine, p: number, ref: number, item: number): void {
  const { mem } = machine;
  const at = p + P.fresh.at;
  syncPoint('epoll.fresh', at);
  for (let head = atomicLoad(mem, at); ;) {
    I.freshNext.set(mem, item, head);
    const old = atomicCas(mem, at, head, ref);
    if (old === head) return;
    head = old;
  }
}
