import { isKernelError, type Machine, orUndo, waitQueueOf } from '@dmabuf-emu/shm';
import type { File } from '../../file.ts';
import { PollEvents } from '../poll-events.ts';
import { askItem, type Register } from './ask-item.ts';
import { addEntry } from './entries.ts';
import { addItem, itemsOf, putEpoll, removeItem } from './items.ts';
import { listFresh, listLast } from './ready-list.ts';
import { EpollItemStruct as I, EpollStruct as P, PollEntryStruct as E } from './structs.ts';
import { wakeHead } from './wake.ts';

/*
 * Changes of what the epoll file at word `p` watches. All need its mutex.
 */

/** The item for `file` as descriptor `fd`, 0 for none. @kernel ep_find */
export function findItem(machine: Machine, p: number, file: File, fd: number): number {
  const slab = machine.slab(I);
  for (const ref of itemsOf(machine, p)) {
    const item = slab.at(ref);
    if (I.file.get(machine.mem, item) === file.ref && I.fd.get(machine.mem, item) === fd) return ref;
  }
  return 0;
}

/** Starts to watch a file. @throws KernelError ENOMEM, with nothing changed @kernel ep_insert */
export function insertItem(machine: Machine, ep: number, file: File, fd: number, events: number, data: bigint): void {
  const ref = addItem(machine, ep, file.ref, fd);
  let error: unknown;
  const register: Register = (_owner, head) => {
    try {
      registerItem(machine, ref, head.at, (events & PollEvents.EXCLUSIVE) !== 0);
    } catch (thrown) {
      if (!isKernelError(thrown, 'ENOMEM')) throw thrown;
      error = thrown;
    }
  };
  orUndo(
    () => {
      setEvent(machine, ref, events, data);
      lookAt(machine, machine.slab(P).at(ep), ref, register);
      if (error !== undefined) throw error;
    },
    () => dropItem(machine, ep, ref),
  );
}

/** Watches it for something else. @kernel ep_modify */
export function modifyItem(machine: Machine, p: number, ref: number, events: number, data: bigint): void {
  setEvent(machine, ref, events, data);
  lookAt(machine, p, ref);
}

/** Stops watching it. @kernel ep_remove_safe */
export function dropItem(machine: Machine, ep: number, ref: number): void {
  removeItem(machine, ref);
  putEpoll(machine, ep);
}

/** @kernel ep_ptable_queue_proc */
function registerItem(machine: Machine, ref: number, head: number, exclusive: boolean): void {
  const { mem } = machine;
  const item = machine.slab(I).at(ref);
  const entry = addEntry(machine, head, { item: ref, exclusive }, 'ep_ptable_queue_proc');
  E.nextOfItem.set(mem, machine.slab(E).at(entry), I.entries.get(mem, item));
  I.entries.set(mem, item, entry);
}

function setEvent(machine: Machine, ref: number, events: number, data: bigint): void {
  const { mem } = machine;
  const item = machine.slab(I).at(ref);
  I.data.set(mem, item, 0, Number(BigInt.asIntN(32, data)));
  I.data.set(mem, item, 1, Number(BigInt.asIntN(32, data >> 32n)));
  I.events.store(mem, item, events | PollEvents.ERR | PollEvents.HUP);
}

/** Puts an item whose file is ready on the list. */
function lookAt(machine: Machine, p: number, ref: number, register?: Register): void {
  if (askItem(machine, ref, 1, register) === 0) return;
  listFresh(machine, p);
  listLast(machine, p, ref);
  waitQueueOf(machine, p, P.waiters).wakeAll();
  wakeHead(machine, p + P.head.at, PollEvents.IN);
}
