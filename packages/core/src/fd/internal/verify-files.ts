import {
  type Machine,
  MAX_TASKS,
  taskAt,
  taskIsDead,
  taskIsRunning,
  TaskStruct,
  type VerifyBuilder,
} from '@dmabuf-emu/shm';
import { FdTableStruct } from '../fd-table-struct.ts';
import { FdTable } from '../fd-table.ts';
import { fileOps, fileTypeName, knowsFileOps } from '../file-ops.ts';
import { FileStruct as F } from '../file-struct.ts';
import { File } from '../file.ts';
import { heldFiles } from './file-holders.ts';

/**
 * Proves on a quiet machine that descriptors, files and reference counts agree. A reference that is neither a descriptor nor a
 * mapping of a process, nor declared by a subsystem, counts as leaked: a run ends by putting everything back.
 */
export function verifyFiles(machine: Machine, report: VerifyBuilder): void {
  File.releaseDelayed(machine);
  const descriptors = verifyProcesses(machine, report);
  const held = heldFiles(machine);
  const files = machine.slab(F);
  let live = 0;
  for (const ref of files.live()) {
    live++;
    verifyFile(machine, report, ref, (descriptors.get(ref) ?? 0) + (held.get(ref) ?? 0));
  }
  report.count('file', live);
  const counted = File.openCount(machine);
  const text = `${live} files are open, but ${counted} are counted`;
  if (live !== counted && anyDead(machine) !== 0) report.damage('file', text);
  else if (live !== counted) report.error(text);
  for (const ref of [...descriptors.keys(), ...held.keys()])
    if (files.tryAt(ref) === 0) report.error('a descriptor or holder refers to a file that is gone');
}

/** Checks the descriptor tables; returns how many descriptors each file has. */
function verifyProcesses(machine: Machine, report: VerifyBuilder): Map<number, number> {
  const descriptors = new Map<number, number>();
  const slab = machine.slab(FdTableStruct);
  report.count('process', 0);
  report.count('fd', 0);
  for (const ref of slab.live()) {
    const table = FdTable.of(machine, ref);
    const entries = table.entries();
    report.count('process', 1);
    report.count('fd', entries.length);
    for (const { file } of entries) descriptors.set(file.ref, (descriptors.get(file.ref) ?? 0) + 1);
    const { living, dead } = usersOf(machine, ref);
    const users = FdTableStruct.users.load(machine.mem, slab.at(ref));
    const text = `process '${table.name}' has ${users} users, but ${living} tasks use it`;
    if (users === living && users > 0) continue;
    if (dead > 0) report.damage('process', text);
    else if (users === 0) report.leak('process', text);
    else report.error(text);
  }
  return descriptors;
}

function usersOf(machine: Machine, process: number): { living: number; dead: number } {
  let [living, dead] = [0, 0];
  for (let id = 1; id <= MAX_TASKS; id++) {
    if (TaskStruct.process.get(machine.mem, taskAt(id)) !== process) continue;
    if (taskIsDead(machine, id)) dead++;
    else if (taskIsRunning(machine, id)) living++;
  }
  return { living, dead };
}

function verifyFile(machine: Machine, report: VerifyBuilder, ref: number, holders: number): void {
  const { mem } = machine;
  const p = machine.slab(F).at(ref);
  const refs = F.refs.load(mem, p);
  const known = holders + F.maps.load(mem, p);
  const what = describe(machine, F.type.get(mem, p), ref);
  const text = `${what} has ${refs} references, but ${known} known holders`;
  if (refs > 0 && refs < known) report.error(text);
  if (refs > 0 && refs <= known) return;
  const releaser = F.finalTask.get(mem, p);
  const dead = F.lostBy.get(mem, p) || (taskIsDead(machine, releaser) ? releaser : 0) || anyDead(machine);
  if (dead !== 0) report.damage('file', `${text} (task ${dead} died)`);
  else report.leak('file', text);
}

/** A dead task, if there is any: a reference that nobody answers for may be one that it had taken and not yet put anywhere. */
function anyDead(machine: Machine): number {
  return machine.tasks().find(({ state }) => state === 'dead')?.id ?? 0;
}

function describe(machine: Machine, type: number, ref: number): string {
  const ops = knowsFileOps(machine, type) ? fileOps(machine, type) : undefined;
  return ops?.describe?.(File.of(machine, ref)) ?? `${fileTypeName(machine, type)} file`;
}
