import {
  type CallbackDriver,
  defineFenceCallback,
  EventFd,
  Fence,
  FenceCallback,
  File,
  fencePut,
} from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';
import type { FencePlace } from './fence-place.ts';
import { EventfdEntryStruct as E, SyncobjStruct as S } from './syncobj-struct.ts';
import { SyncobjWaitFlags } from './wait-flags.ts';

/** The point has come: its arg names the entry. @kernel syncobj_eventfd_entry_fence_func */
export const syncobjEventfd: CallbackDriver = defineFenceCallback({
  name: 'drm_syncobj_eventfd',
  run: ({ machine }, callback) => tell(machine, callback.arg),
});

/**
 * Has an eventfd told once that a point has signalled, or (flag WAIT_AVAILABLE) has been submitted.
 * @kernel drm_syncobj_add_eventfd
 * @throws KernelError ENOMEM
 */
export function addEventfd(syncobj: FencePlace, file: File, point: number, flags: number): void {
  const { machine } = syncobj;
  const { mem } = machine;
  const slab = machine.slab(E);
  const entry = slab.alloc('syncobj_eventfd_entry');
  const p = slab.at(entry);
  try {
    E.callback.set(mem, p, FenceCallback.create(machine, syncobjEventfd, entry).ref);
  } catch (error) {
    slab.free(entry, 'syncobj_eventfd_entry');
    throw error;
  }
  E.point.set(mem, p, point);
  E.flags.set(mem, p, flags);
  E.file.set(mem, p, file.get().ref);
  syncobj.withLock(() => {
    let link = syncobj.p + S.eventfds.at;
    while (mem.i32[link] !== 0) link = slab.at(mem.i32[link]!) + E.next.at;
    mem.i32[link] = entry;
    submitToEventfds(syncobj);
  });
}

/** Lets those go whose point has come: to its fence, or to be told at once. @locks the object's lock held @kernel syncobj_eventfd_entry_func */
export function submitToEventfds(syncobj: FencePlace): void {
  const { machine, p } = syncobj;
  const { mem } = machine;
  const slab = machine.slab(E);
  let link = p + S.eventfds.at;
  for (let entry = mem.i32[link]!; entry !== 0; entry = mem.i32[link]!) {
    const at = slab.at(entry);
    const fence = syncobj.findPoint(E.point.get(mem, at));
    if (fence === undefined) {
      link = at + E.next.at;
      continue;
    }
    mem.i32[link] = E.next.get(mem, at);
    E.next.set(mem, at, 0);
    E.fence.set(mem, at, fence);
    const isSubmitEnough = (E.flags.get(mem, at) & SyncobjWaitFlags.WAIT_AVAILABLE) !== 0;
    const callback = new FenceCallback(machine, E.callback.get(mem, at));
    if (isSubmitEnough || !Fence.of(machine, fence).addCallback(callback)) tell(machine, entry);
  }
}

/** The object goes: nobody is told of points that never came. */
export function dropEventfds({ machine, p }: FencePlace): void {
  const { mem } = machine;
  for (let entry = S.eventfds.get(mem, p); entry !== 0; entry = S.eventfds.get(mem, p)) {
    S.eventfds.set(mem, p, E.next.get(mem, machine.slab(E).at(entry)));
    freeEntry(machine, entry);
  }
}

function tell(machine: Machine, entry: number): void {
  const file = File.of(machine, E.file.get(machine.mem, machine.slab(E).at(entry)));
  EventFd.of(file).signal();
  freeEntry(machine, entry);
}

/** Runs with the lock of a fence or a sync object held: the references go once it is free. @kernel syncobj_eventfd_entry_free */
function freeEntry(machine: Machine, entry: number): void {
  const slab = machine.slab(E);
  const p = slab.at(entry);
  const file = File.of(machine, E.file.get(machine.mem, p));
  const fence = E.fence.get(machine.mem, p);
  const callback = new FenceCallback(machine, E.callback.get(machine.mem, p));
  for (const field of [E.file, E.fence, E.callback]) field.set(machine.mem, p, 0);
  callback.free();
  slab.free(entry, 'syncobj_eventfd_entry');
  machine.irqWork(() => {
    fencePut(machine, fence);
    file.put();
  });
}

/** What each entry holds, on a quiet machine. */
export function* eventfdEntries(machine: Machine): Generator<{ file: number; fence: number; callback: number }> {
  for (const ref of machine.slab(E).live()) {
    const p = machine.slab(E).at(ref);
    const { mem } = machine;
    yield { file: E.file.get(mem, p), fence: E.fence.get(mem, p), callback: E.callback.get(mem, p) };
  }
}
