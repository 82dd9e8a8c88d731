import { KernelError, orUndo } from '@dmabuf-emu/shm';
import type { OpenFile } from '../device/open-file.ts';
import { addMember, removeMember } from '../prime/members.ts';
import { DRM_QUIRKS } from '../quirks.ts';
import { GemObject } from './gem-object.ts';

const CHANGE = 'drm_gem_change_handle_ioctl';

/**
 * Gives the object a handle in `file`; the handles of all files together hold one reference.
 * @kernel drm_gem_handle_create_tail
 * @locks object_name_lock held
 * @throws KernelError ENOMEM
 */
export function createHandle(file: OpenFile, gem: GemObject): number {
  gem.device.objectNameLock.assertHeld('drm_gem_handle_create_tail');
  const handle = file.objects.alloc(gem.ref, 'drm_gem_handle_create');
  if (gem.handleCount === 0) gem.get();
  gem.handleCount++;
  return handle;
}

/** GEM_CLOSE, MODE_DESTROY_DUMB. @kernel drm_gem_handle_delete @locks takes prime.lock, object_name_lock @throws KernelError EINVAL for no handle */
export function deleteHandle(file: OpenFile, handle: number): void {
  const ref = file.objects.clear(handle);
  if (ref === 0) throw new KernelError('EINVAL', 'drm_gem_handle_delete', `there is no object with handle ${handle}`);
  releaseHandle(file, handle, GemObject.of(file.machine, ref));
  file.objects.remove(handle);
}

/** @kernel drm_gem_object_release_handle */
export function releaseHandle(file: OpenFile, handle: number, gem: GemObject): void {
  file.primeLock.with(() => removeMember(file, handle));
  const isLast = gem.device.objectNameLock.with(() => {
    gem.handleCount--;
    if (gem.handleCount > 0) return false;
    forgetNames(gem);
    return true;
  });
  if (isLast) gem.put();
}

/** Nobody can name the object any more; its dma-buf, which holds the object, is not kept by it either. @kernel drm_gem_object_handle_free */
function forgetNames(gem: GemObject): void {
  const { name, dmabuf } = gem;
  if (name !== 0) gem.device.names.remove(name);
  gem.name = 0;
  gem.dmabuf = null;
  dmabuf?.put();
}

/** GEM_CHANGE_HANDLE @kernel drm_gem_change_handle_ioctl @throws KernelError EINVAL, ENOENT, ENOSPC (taken), ENOMEM */
export function changeHandle(file: OpenFile, handle: number, newHandle: number): void {
  if (DRM_QUIRKS.has(file.machine, 'drm.noChangeHandle') || newHandle > 0x7fff_ffff) {
    throw new KernelError('EINVAL', CHANGE, `handle ${handle} cannot become ${newHandle}`);
  }
  if (file.objects.find(handle) === 0) throw unknown(handle);
  if (handle !== newHandle) file.primeLock.with(() => moveHandle(file, handle, newHandle));
}

/** Neither handle means anything until the move is done, so that nobody can close one of them meanwhile. */
function moveHandle(file: OpenFile, handle: number, newHandle: number): void {
  const { objects } = file;
  if (!objects.reserve(newHandle, CHANGE)) {
    throw new KernelError('ENOSPC', CHANGE, `handle ${newHandle} is taken`);
  }
  const ref = objects.clear(handle);
  if (ref === 0) {
    objects.remove(newHandle);
    throw unknown(handle);
  }
  const { dmabuf } = GemObject.of(file.machine, ref);
  if (dmabuf !== null) {
    orUndo(
      () => addMember(file, dmabuf, newHandle),
      () => {
        objects.remove(newHandle);
        objects.set(handle, ref);
      },
    );
    removeMember(file, handle);
  }
  objects.remove(handle);
  objects.set(newHandle, ref);
}

function unknown(handle: number): KernelError {
  return new KernelError('ENOENT', CHANGE, `there is no object with handle ${handle}`);
}
