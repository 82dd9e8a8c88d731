import { atomicStore, type Machine, Mutex, refDec, refInc, withSpin } from '@dmabuf-emu/shm';
import { FileStruct as F } from '../../file-struct.ts';
import { removeEntry } from './entries.ts';
import { listFresh, unlist } from './ready-list.ts';
import { EpollItemStruct as I, EpollStruct as P, PollEntryStruct as E } from './structs.ts';

/** The mutex of the epoll file at word `p`; `depth` counts the epoll files that are looked into around it. */
export function epollMutex(machine: Machine, p: number, depth = 0): Mutex {
  return new Mutex(machine, p + P.mutex.at, depth === 0 ? P.mutex.lockClass : `${P.mutex.lockClass}/${depth}`);
}

/** Items of the epoll file at word `p`, newest first; each may be removed while it is visited. The mutex must be held. */
export function* itemsOf(machine: Machine, p: number): Generator<number> {
  const slab = machine.slab(I);
  for (let ref = P.items.get(machine.mem, p); ref !== 0;) {
    const next = I.next.get(machine.mem, slab.at(ref));
    yield ref;
    ref = next;
  }
}

/** Makes an item of `ep` for `file` without registering it on the file's heads. The mutex must be held. @throws KernelError ENOMEM */
export function addItem(machine: Machine, ep: number, file: number, fd: number): number {
  const { mem } = machine;
  const p = machine.slab(P).at(ep);
  const slab = machine.slab(I);
  const ref = slab.alloc('ep_insert');
  const item = slab.at(ref);
  I.ep.set(mem, item, ep);
  I.file.set(mem, item, file);
  I.fd.set(mem, item, fd);
  refInc(machine, p, P.refs);
  I.next.set(mem, item, P.items.get(mem, p));
  P.items.set(mem, p, ref);
  const at = machine.slab(F).at(file);
  withSpin(machine, at + F.watchLock.at, () => {
    I.nextOfFile.set(mem, item, F.watchers.get(mem, at));
    F.watchers.store(mem, at, ref);
  });
  return ref;
}

/**
 * Frees an item, unless its file is going and will do that itself; tells whether it did. The mutex must be held.
 * @param going the file is going, and this is it.
 * @kernel __ep_remove
 */
export function removeItem(machine: Machine, ref: number, going = false): boolean {
  const { mem } = machine;
  const slab = machine.slab(I);
  const item = slab.at(ref);
  const p = machine.slab(P).at(I.ep.get(mem, item));
  removeEntries(machine, item);
  const file = machine.slab(F).at(I.file.get(mem, item));
  const isMine = withSpin(machine, file + F.watchLock.at, () => {
    if (!going && I.dying.get(mem, item) !== 0) return false;
    unlink(machine, file + F.watchers.at, ref, I.nextOfFile);
    return true;
  });
  if (!isMine) return false;
  unlink(machine, p + P.items.at, ref, I.next);
  listFresh(machine, p);
  unlist(machine, p, ref);
  slab.free(ref, 'ep_remove');
  return true;
}

/** Takes an item's entries off the heads that they are on: nobody wakes it any more. @kernel ep_unregister_pollwait */
function removeEntries(machine: Machine, item: number): void {
  const { mem } = machine;
  const slab = machine.slab(E);
  for (let entry = I.entries.get(mem, item); entry !== 0; entry = I.entries.get(mem, item)) {
    I.entries.set(mem, item, E.nextOfItem.get(mem, slab.at(entry)));
    removeEntry(machine, entry, 'ep_remove_wait_queue');
  }
}

/** Drops a reference on an epoll file. @kernel ep_refcount_dec_and_test, ep_free */
export function putEpoll(machine: Machine, ep: number): void {
  const slab = machine.slab(P);
  if (refDec(machine, slab.at(ep), P.refs)) slab.free(ep, 'ep_free');
}

/** Word-linked list: takes `ref` out by a single store. */
function unlink(machine: Machine, head: number, ref: number, next: typeof I.next): void {
  const { mem } = machine;
  const slab = machine.slab(I);
  for (let at = head; mem.i32[at] !== 0; at = slab.at(mem.i32[at]!) + next.at) {
    if (mem.i32[at] !== ref) continue;
    atomicStore(mem, at, next.get(mem, slab.at(ref)));
    return;
  }
}
