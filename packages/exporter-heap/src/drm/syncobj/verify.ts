import { noteCallbackHolder, noteFenceHolder, noteFileHolder } from '@dmabuf-emu/core';
import type { Machine, VerifyBuilder } from '@dmabuf-emu/shm';
import { DrmFileStruct as F } from '../device/drm-file-struct.ts';
import { OpenFile } from '../device/open-file.ts';
import { eventfdEntries } from './eventfd-entries.ts';
import { Syncobj } from './syncobj.ts';
import { SyncobjStruct as S } from './syncobj-struct.ts';
import { waitEntries } from './wait-entries.ts';

/** Tells the checks of fences, callbacks and files what sync objects hold of them. */
export function registerSyncobjHolders(machine: Machine): void {
  noteFenceHolder(machine, 'drm.syncobj', (hold) => {
    for (const ref of machine.slab(S).live()) each(hold, S.fence.get(machine.mem, machine.slab(S).at(ref)));
    for (const { fence } of waitEntries(machine)) each(hold, fence);
    for (const { fence } of eventfdEntries(machine)) each(hold, fence);
  });
  noteCallbackHolder(machine, 'drm.syncobj', (own) => {
    for (const { callback } of waitEntries(machine)) each(own, callback);
    for (const { callback } of eventfdEntries(machine)) each(own, callback);
  });
  noteFileHolder(machine, 'drm.syncobj', function* () {
    for (const { file } of eventfdEntries(machine)) if (file !== 0) yield file;
  });
}

function each(hold: (ref: number) => void, ref: number): void {
  if (ref !== 0) hold(ref);
}

/** Proves on a quiet machine that the references to sync objects are those of handles, descriptors and waits. */
export function verifySyncobjs(machine: Machine, report: VerifyBuilder): void {
  const held = new Map<number, number>();
  const hold = (ref: number): void => void held.set(ref, (held.get(ref) ?? 0) + 1);
  for (const ref of machine.slab(F).live()) {
    for (const [, syncobj] of new OpenFile(machine, ref).syncobjs.entries()) hold(syncobj);
  }
  for (const { syncobj } of waitEntries(machine)) each(hold, syncobj);
  report.count('drm_syncobj', 0);
  for (const ref of machine.slab(S).live()) {
    report.count('drm_syncobj', 1);
    const { refs, p } = Syncobj.of(machine, ref);
    const known = (held.get(ref) ?? 0) + S.files.load(machine.mem, p);
    if (refs === known) continue;
    const text = `sync object #${ref >>> 0} has ${refs} references, but ${known} are known`;
    if (machine.tasks().some(({ state }) => state === 'dead')) report.damage('drm', text);
    else if (refs > known) report.leak('drm', text);
    else report.error(text);
  }
}
