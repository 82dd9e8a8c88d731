import { DmaBuf, dmaBufs, noteFenceHolder, noteFileHolder } from '@dmabuf-emu/core';
import { type Machine, UsageError, type VerifyBuilder } from '@dmabuf-emu/shm';
import { registerHolder } from '../memory/index.ts';
import { DrmDevice } from './device/device.ts';
import { DRM_DRIVERS } from './device/drivers.ts';
import { DrmFileStruct as F } from './device/drm-file-struct.ts';
import { OpenFile } from './device/open-file.ts';
import { GemObject } from './gem/gem-object.ts';
import { GemStruct as G } from './gem/gem-struct.ts';
import { ranges } from './gem/vma-range.ts';
import { drmExporter } from './prime/exporter-ops.ts';
import { members } from './prime/members.ts';

/** Tells the checks of files, fences and files in memory what this room holds of them. */
export function registerDrmHolders(machine: Machine): void {
  noteFileHolder(machine, 'drm', () => heldBuffers(machine));
  noteFenceHolder(machine, 'vgem', (hold) => {
    for (const file of files(machine)) for (const [, fence] of file.fences.entries()) hold(fence);
  });
  registerHolder(machine, 'shmem', 'drm', function* () {
    for (const gem of objects(machine)) if (gem.shmem !== null) yield gem.shmem.ref;
  });
}

/** Proves on a quiet machine that handles, objects, names, offsets and dma-bufs agree. */
export function verifyDrm(machine: Machine, report: VerifyBuilder): void {
  const hurt = machine.tainted || machine.tasks().some(({ state }) => state === 'dead');
  const found = (text: string): void => (hurt ? report.damage('drm', text) : report.error(text));
  const lost = (text: string): void => (hurt ? report.damage('drm', text) : report.leak('drm', text));
  const handles = countHandles(machine, report);
  const exports = countExports(machine);
  const offsets = countOffsets(machine);
  report.count('drm_gem_object', 0);
  for (const gem of objects(machine)) {
    const { ref, refs, handleCount, name } = gem;
    const text = `object #${ref >>> 0} of ${gem.device.driver.name}`;
    report.count('drm_gem_object', 1);
    const own = handles.get(ref) ?? 0;
    if (own !== handleCount) found(`${text} has ${own} handles, by count ${handleCount}`);
    const known = (own > 0 ? 1 : 0) + (exports.get(ref) ?? 0);
    if (refs < known) found(`${text} has ${refs} references, but ${known} are known`);
    if (known === 0) lost(`${text} has neither handle nor dma-buf`);
    if (offsets.get(ref) !== 1) found(`${text} has ${offsets.get(ref) ?? 0} fake offsets`);
    if (name !== 0 && gem.device.names.find(name) !== ref) found(`${text} is not what its name ${name} stands for`);
  }
}

/** Handles of each object. */
function countHandles(machine: Machine, report: VerifyBuilder): Map<number, number> {
  const counts = new Map<number, number>();
  report.count('drm_file', 0);
  for (const file of files(machine)) {
    report.count('drm_file', 1);
    for (const [, gem] of file.objects.entries()) counts.set(gem, (counts.get(gem) ?? 0) + 1);
  }
  return counts;
}

/** Dma-bufs made of each object. */
function countExports(machine: Machine): Map<number, number> {
  const counts = new Map<number, number>();
  for (const dmabuf of dmaBufs(machine)) {
    if (isOurs(dmabuf)) counts.set(dmabuf.priv, (counts.get(dmabuf.priv) ?? 0) + 1);
  }
  return counts;
}

/** A buffer whose exporter this thread does not know is of somebody else. */
function isOurs(dmabuf: DmaBuf): boolean {
  try {
    return dmabuf.exporter === drmExporter;
  } catch (error) {
    if (error instanceof UsageError) return false;
    throw error;
  }
}

/** Places in the lists of fake offsets of each object. */
function countOffsets(machine: Machine): Map<number, number> {
  const counts = new Map<number, number>();
  for (const { name } of Object.values(DRM_DRIVERS)) {
    for (const gem of ranges(DrmDevice.of(machine, name))) counts.set(gem, (counts.get(gem) ?? 0) + 1);
  }
  return counts;
}

/** Files of the dma-bufs that handles and objects hold. */
function* heldBuffers(machine: Machine): Generator<number> {
  for (const file of files(machine)) for (const { dmabuf } of members(file)) yield fileOf(machine, dmabuf);
  for (const { dmabuf, imported } of objects(machine)) {
    if (dmabuf !== null) yield dmabuf.file.ref;
    if (imported !== null) yield imported.file.ref;
  }
}

function fileOf(machine: Machine, dmabuf: number): number {
  return DmaBuf.of(machine, dmabuf).file.ref;
}

function* files(machine: Machine): Generator<OpenFile> {
  for (const ref of machine.slab(F).live()) yield new OpenFile(machine, ref);
}

function* objects(machine: Machine): Generator<GemObject> {
  for (const ref of machine.slab(G).live()) yield GemObject.of(machine, ref);
}
