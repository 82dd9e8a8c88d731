import type { Machine } from '@dmabuf-emu/shm';
import { FILE_DRIVER, type FileOps } from './file-ops.ts';
import { reapFiles } from './internal/reap-files.ts';
import { verifyFiles } from './internal/verify-files.ts';

const PREPARED = Symbol('core.files');

/** Makes a kind of file known in the calling thread; returns its machine-wide number. */
export function registerFileOps(machine: Machine, ops: FileOps): number {
  machine.local(PREPARED, () => {
    machine.onReap('core.files', (task) => reapFiles(machine, task));
    machine.onVerify('core.files', (report) => verifyFiles(machine, report));
    return true;
  });
  return machine.drivers.register(FILE_DRIVER, ops.name, ops);
}
