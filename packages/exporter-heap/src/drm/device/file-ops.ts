import { File, type FileOps, registerFileOps } from '@dmabuf-emu/core';
import { isKernelError, KernelError, type Machine, orUndo } from '@dmabuf-emu/shm';
import { GemObject } from '../gem/gem-object.ts';
import { releaseHandle } from '../gem/handle.ts';
import { mmapByOffset } from '../gem/mmap.ts';
import { closeSyncobjs } from '../syncobj/handles.ts';
import { SYNCOBJ_FILE_OPS } from '../syncobj/share.ts';
import { endFences } from '../vgem/attach-fence.ts';
import { DrmDevice } from './device.ts';
import { type DrmDriverName, nodePath } from './drivers.ts';
import { DrmFileStruct as F } from './drm-file-struct.ts';
import { OpenFile } from './open-file.ts';

/** Name of the kind of file. */
export const DRM_FILE = 'drm';

/** How a device is opened. */
export interface DrmOpen {
  /** Through the render node instead of the card. */
  readonly render?: boolean;
  /** Open flags; the access mode does not matter to the driver. O_RDWR when left out. */
  readonly flags?: number;
}

const O_RDWR = 2;

/** An open file of a driver's device, with one reference. @kernel drm_open @throws KernelError ENODEV without a render node, ENFILE, ENOMEM */
export function openDrm(machine: Machine, driver: DrmDriverName, { render = false, flags = O_RDWR }: DrmOpen): File {
  const device = DrmDevice.of(machine, driver);
  if (render && !device.driver.render) throw new KernelError('ENODEV', 'drm_open', `${driver} has no render node`);
  const slab = machine.slab(F);
  const ref = slab.alloc('drm_file_alloc');
  const p = slab.at(ref);
  F.minor.set(machine.mem, p, device.driver.minor);
  F.isRender.set(machine.mem, p, render ? 1 : 0);
  return orUndo(
    () => File.create(machine, { type: DRM_FILE, priv: ref, flags }, 'drm_open.file'),
    () => slab.free(ref, 'drm_file_alloc'),
  );
}

/** Objects, sync objects, fences: in this order. @kernel drm_file_free */
function release(file: File): void {
  const open = OpenFile.of(file);
  for (const [handle, gem] of open.objects.entries()) closeHandle(open, handle, gem);
  closeSyncobjs(open);
  endFences(open);
  for (const table of [open.objects, open.syncobjs, open.fences]) table.destroy();
  open.machine.slab(F).free(open.ref, 'drm_file_free');
}

/** A close cannot fail: an object whose locks died with a task stays behind. */
function closeHandle(open: OpenFile, handle: number, gem: number): void {
  const { machine } = open;
  try {
    releaseHandle(open, handle, GemObject.of(machine, gem));
  } catch (error) {
    if (!isKernelError(error, 'EOWNERDEAD')) throw error;
    machine.diag.info('drm-lost', `handle ${handle} of a file of ${pathOf(open)} stays behind: ${error.message}`);
  }
}

/** @kernel DEFINE_DRM_GEM_FOPS */
export const DRM_FILE_OPS: FileOps = {
  name: DRM_FILE,
  release,
  linkText: (file) => pathOf(OpenFile.of(file)),
  describe: (file) => (isGone(file) ? 'file of a device, freed' : `file of ${pathOf(OpenFile.of(file))}`),
  llseek: () => 0,
  poll: () => 0,
  mmap: (file, area) => mmapByOffset(OpenFile.of(file), area),
};

/** Makes the kinds of files known in the calling thread. */
export function registerDrmFiles(machine: Machine): void {
  registerFileOps(machine, DRM_FILE_OPS);
  registerFileOps(machine, SYNCOBJ_FILE_OPS);
}

/** A task died between the end of the file and that of its struct. */
function isGone({ machine, priv }: File): boolean {
  return machine.slab(F).tryAt(priv) === 0;
}

function pathOf({ device, isRender }: OpenFile): string {
  return nodePath(device.driver.minor, isRender);
}
