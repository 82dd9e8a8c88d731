import { atomicStore, type Machine, withSpin } from '@dmabuf-emu/shm';
import { HEAD_FIRST, HEAD_LOCK, PollEntryStruct as E } from './structs.ts';

/** Who is to be woken: a task for `key`, with the file it polls, or an epoll item. */
export type EntryOwner =
  | { readonly task: number; readonly file: number; readonly key: number }
  | { readonly item: number; readonly exclusive: boolean };

/** Puts an entry on the head at word `head`. @throws KernelError ENOMEM @kernel add_wait_queue, add_wait_queue_exclusive */
export function addEntry(machine: Machine, head: number, owner: EntryOwner, site: string): number {
  const { mem } = machine;
  const slab = machine.slab(E);
  const ref = slab.alloc(site);
  const p = slab.at(ref);
  if ('task' in owner) {
    E.task.set(mem, p, owner.task);
    E.file.set(mem, p, owner.file);
    E.key.set(mem, p, owner.key);
  } else {
    E.item.set(mem, p, owner.item);
    E.exclusive.set(mem, p, owner.exclusive ? 1 : 0);
  }
  E.head.set(mem, p, head);
  withSpin(machine, head + HEAD_LOCK, () => {
    let at = head + HEAD_FIRST;
    if ('item' in owner && owner.exclusive) at = linkTo(machine, head, 0);
    E.next.set(mem, p, mem.i32[at]!);
    atomicStore(mem, at, ref);
  });
  return ref;
}

/** Takes an entry off its head and frees it. @kernel remove_wait_queue */
export function removeEntry(machine: Machine, ref: number, site: string): void {
  const { mem } = machine;
  const slab = machine.slab(E);
  const p = slab.at(ref);
  const head = E.head.get(mem, p);
  if (head !== 0) {
    withSpin(machine, head + HEAD_LOCK, () => {
      const at = linkTo(machine, head, ref);
      if (at !== 0) atomicStore(mem, at, E.next.get(mem, p));
    });
    E.head.set(mem, p, 0);
  }
  slab.free(ref, site);
}

/** Word that refers to entry `ref` of the head, for 0 the one that ends the list; 0 when it is not on it. The lock must be held. */
function linkTo(machine: Machine, head: number, ref: number): number {
  const { i32 } = machine.mem;
  const slab = machine.slab(E);
  let at = head + HEAD_FIRST;
  while (i32[at] !== ref) {
    if (i32[at] === 0) return 0;
    at = slab.at(i32[at]!) + E.next.at;
  }
  return at;
}
