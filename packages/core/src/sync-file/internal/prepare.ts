import type { Machine, VerifyBuilder } from '@dmabuf-emu/shm';
import { fileTypeId } from '../../fd/file-ops.ts';
import { FileStruct as F } from '../../fd/file-struct.ts';
import { registerFileOps } from '../../fd/register-file-ops.ts';
import { noteCallbackHolder, noteFenceHolder } from '../../fence/functions.ts';
import { pollOf, SYNC_FILE, SYNC_FILE_OPS } from './file-ops.ts';
import { SyncFileStruct as S } from './structs.ts';

const PREPARED = Symbol('core.sync-file');

/** Makes this thread take part in the machine's check of sync_files, once. */
export function prepareSyncFiles(machine: Machine): void {
  machine.local(PREPARED, () => {
    const { mem } = machine;
    const slab = machine.slab(S);
    registerFileOps(machine, SYNC_FILE_OPS);
    noteFenceHolder(machine, 'sync_file', (hold) => {
      for (const ref of slab.live()) if (S.fence.get(mem, slab.at(ref)) !== 0) hold(S.fence.get(mem, slab.at(ref)));
    });
    noteCallbackHolder(machine, 'sync_file', (own) => {
      for (const ref of slab.live())
        if (pollOf(machine, slab.at(ref)).callback !== 0) own(pollOf(machine, slab.at(ref)).callback);
    });
    machine.onReap('core.sync-file', (dead) => {
      for (const ref of slab.live()) {
        const p = slab.tryAt(ref);
        if (p !== 0) pollOf(machine, p).finishFor(dead);
      }
    });
    machine.onVerify('core.sync-file', (report) => verifySyncFiles(machine, report));
    return true;
  });
}

/** Every sync_file belongs to a file. */
function verifySyncFiles(machine: Machine, report: VerifyBuilder): void {
  const files = machine.slab(F);
  const type = fileTypeId(machine, SYNC_FILE);
  const mine = [...files.live()].map((ref) => files.at(ref)).filter((p) => F.type.get(machine.mem, p) === type);
  const owned = new Set(mine.map((p) => F.priv.get(machine.mem, p)));
  report.count('sync_file', 0);
  for (const ref of machine.slab(S).live()) {
    report.count('sync_file', 1);
    if (owned.has(ref)) continue;
    const text = `sync_file #${ref >>> 0} belongs to no file`;
    if (machine.tasks().some(({ state }) => state === 'dead')) report.damage('sync_file', text);
    else report.leak('sync_file', text);
  }
}
