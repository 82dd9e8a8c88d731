import { KernelError } from '@dmabuf-emu/shm';
import { orUndo } from '../../internal/undo.ts';
import type { OpenFile } from '../device/open-file.ts';
import { addMember, removeMember } from '../prime/members.ts';
import { DRM_QUIRKS } from '../quirks.ts';
import { GemObject } from './gem-object.ts';
import { lookUpObject, putAfter } from './lookup.ts';

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
  const call = 'drm_gem_change_handle_ioctl';
  if (DRM_QUIRKS.has(file.machine, 'drm.noChangeHandle') || newHandle > 0x7fff_ffff) {
    throw new KernelError('EINVAL', call, `handle ${handle} cannot become ${newHandle}`);
  }
  const gem = lookUpObject(file, handle, call);
  putAfter(gem, () => {
    if (handle === newHandle) return;
    file.primeLock.with(() => moveHandle(file, gem, handle, newHandle));
  });
}

function moveHandle(file: OpenFile, gem: GemObject, handle: number, newHandle: number): void {
  const taken = new KernelError('ENOSPC', 'drm_gem_change_handle_ioctl', `handle ${newHandle} is taken`);
  if (newHandle === 0 || !file.objects.allocAt(newHandle, gem.ref, 'drm_gem_change_handle')) throw taken;
  const { dmabuf } = gem;
  if (dmabuf !== null) {
    orUndo(
      () => addMember(file, dmabuf, newHandle),
      () => file.objects.remove(newHandle),
    );
    removeMember(file, handle);
  }
  file.objects.remove(handle);
}
