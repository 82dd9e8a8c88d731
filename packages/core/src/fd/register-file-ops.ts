import type { Machine } from '@dmabuf-emu/shm';
import { FdTable } from './fd-table.ts';
import { FILE_DRIVER, type FileOps } from './file-ops.ts';
import { reapFiles } from './internal/reap-files.ts';
import { verifyFiles } from './internal/verify-files.ts';
import { noteFileHolder } from './internal/file-holders.ts';
import { reapPoll } from './poll/internal/reap-poll.ts';
import { leavePolls } from './poll/internal/task-entries.ts';
import { polledFiles, verifyPoll } from './poll/internal/verify-poll.ts';

const PREPARED = Symbol('core.files');

/** Makes a kind of file known in the calling thread; returns its machine-wide number. */
export function registerFileOps(machine: Machine, ops: FileOps): number {
  prepareFiles(machine);
  return machine.drivers.register(FILE_DRIVER, ops.name, ops);
}

/** Makes the calling thread take part in cleaning up and checking files, once. */
function prepareFiles(machine: Machine): void {
  machine.local(PREPARED, () => {
    machine.onReap('core.files', (task) => {
      reapPoll(machine, task);
      reapFiles(machine, task);
    });
    machine.onLeave('core.poll', () => leavePolls(machine));
    machine.onVerify('core.files', (report) => verifyFiles(machine, report));
    machine.onVerify('core.poll', (report) => verifyPoll(machine, report));
    noteFileHolder(machine, 'poll', () => polledFiles(machine));
    return true;
  });
}

FdTable.prepare = prepareFiles;
