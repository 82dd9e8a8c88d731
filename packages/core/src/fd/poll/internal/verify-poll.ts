import { type Machine, taskIsDead, taskIsRunning, type VerifyBuilder } from '@dmabuf-emu/shm';
import { FileStruct as F } from '../../file-struct.ts';
import { EpollItemStruct as I, EpollStruct as P, HEAD_FIRST, PollEntryStruct as E } from './structs.ts';

/** Checks on a quiet machine what polls and epoll files refer to. */
export function verifyPoll(machine: Machine, report: VerifyBuilder): void {
  for (const ref of machine.slab(E).live()) verifyEntry(machine, report, ref);
  const items = new Map<number, number>();
  for (const ref of machine.slab(I).live()) {
    const p = machine.slab(I).at(ref);
    const ep = I.ep.get(machine.mem, p);
    items.set(ep, (items.get(ep) ?? 0) + 1);
    if (machine.slab(F).tryAt(I.file.get(machine.mem, p)) === 0) blame(machine, report, 'epitem', 'its file is gone');
    if (machine.slab(P).tryAt(ep) === 0) blame(machine, report, 'epitem', 'its epoll file is gone');
  }
  for (const ref of machine.slab(P).live()) {
    const p = machine.slab(P).at(ref);
    const file = machine.slab(F).tryAt(P.file.get(machine.mem, p)) === 0 ? 0 : 1;
    const known = file + (items.get(ref) ?? 0);
    const refs = P.refs.load(machine.mem, p);
    report.count('epoll', 1);
    if (refs !== known) blame(machine, report, 'eventpoll', `${refs} references, but ${known} files and items`);
  }
}

/** Files that pending polls hold references to. */
export function* polledFiles(machine: Machine): Generator<number> {
  for (const ref of machine.slab(E).live()) {
    const p = machine.slab(E).at(ref);
    const file = E.file.get(machine.mem, p);
    if (file !== 0 && E.head.get(machine.mem, p) !== 0) yield file;
  }
}

function verifyEntry(machine: Machine, report: VerifyBuilder, ref: number): void {
  const { mem } = machine;
  const slab = machine.slab(E);
  const p = slab.at(ref);
  const head = E.head.get(mem, p);
  let on = head === 0 ? 0 : mem.i32[head + HEAD_FIRST]!;
  while (on !== 0 && on !== ref) on = slab.tryAt(on) === 0 ? 0 : E.next.get(mem, slab.at(on));
  if (on === 0) blame(machine, report, 'wait_queue_entry', 'it is not on its head');
  const task = E.task.get(mem, p);
  if (task === 0) return;
  if (taskIsRunning(machine, task)) report.count('poll', 1);
  else if (taskIsDead(machine, task)) report.damage('wait_queue_entry', `task ${task} died polling`);
  else report.leak('wait_queue_entry', `task ${task} has left and still polls`);
}

/** What is inconsistent after a task died inside is damage. */
function blame(machine: Machine, report: VerifyBuilder, kind: string, text: string): void {
  if (machine.tasks().some(({ state }) => state === 'dead')) report.damage(kind, text);
  else report.error(`${kind}: ${text}`);
}
