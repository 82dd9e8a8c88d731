import { atomicAdd, type Machine, orUndo, TaskStruct } from '@dmabuf-emu/shm';
import { File } from '../../file.ts';
import type { PollHead } from '../poll-head.ts';
import { addEntry, removeEntry } from './entries.ts';
import { PollEntryStruct as E } from './structs.ts';

/** Has the calling task woken when `head` is woken for `key`; holds a reference to the file. @kernel __pollwait @throws KernelError ENOMEM */
export function pollWait(machine: Machine, file: File, head: PollHead, key: number): number {
  file.get();
  return orUndo(
    () => addEntry(machine, head.at, { task: machine.tid, file: file.ref, key }, 'poll_get_entry'),
    () => file.put(),
  );
}

/** Undoes {@link pollWait}; nothing when that was done on behalf of a task that left. @kernel free_poll_entry */
export function dropWait(machine: Machine, entry: number): void {
  const p = machine.slab(E).tryAt(entry);
  if (p === 0) return;
  const file = File.of(machine, E.file.get(machine.mem, p));
  removeEntry(machine, entry, 'poll_freewait');
  file.putAnywhere();
}

/** Undoes every {@link pollWait} of a task that left or died. */
export function dropWaitsOf(machine: Machine, task: number): void {
  const { mem } = machine;
  const slab = machine.slab(E);
  for (const ref of slab.live()) {
    const p = slab.tryAt(ref);
    if (p !== 0 && E.item.get(mem, p) === 0 && E.task.get(mem, p) === task) dropWait(machine, ref);
  }
}

/** The calling task leaves: polls that are pending in its event loop end. */
export function leavePolls(machine: Machine): void {
  dropWaitsOf(machine, machine.tid);
  const event = machine.taskAt + TaskStruct.mailEvent.at;
  atomicAdd(machine.mem, event, 1);
  machine.wake(event);
}
