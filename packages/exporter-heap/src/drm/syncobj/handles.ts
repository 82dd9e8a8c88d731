import { KernelError, orUndo, TaskKilled } from '@dmabuf-emu/shm';
import type { OpenFile } from '../device/open-file.ts';
import { Syncobj } from './syncobj.ts';

/** @kernel DRM_SYNCOBJ_CREATE_SIGNALED */
export const SYNCOBJ_CREATE_SIGNALED = 1;

/** SYNCOBJ_CREATE @kernel drm_syncobj_create_ioctl @throws KernelError EOPNOTSUPP, EINVAL, ENOMEM */
export function createSyncobj(file: OpenFile, flags: number): number {
  const call = 'drm_syncobj_create_ioctl';
  file.device.requireSyncobj(call);
  if ((flags & ~SYNCOBJ_CREATE_SIGNALED) !== 0) throw new KernelError('EINVAL', call, `flags ${flags}`);
  const syncobj = Syncobj.create(file.machine);
  return orUndo(
    () => {
      if (flags !== 0) syncobj.signal();
      return addHandle(file, syncobj);
    },
    () => syncobj.put(),
  );
}

/** A handle that takes over the caller's reference. @throws KernelError ENOMEM; the caller keeps it then. */
export function addHandle(file: OpenFile, syncobj: Syncobj): number {
  return file.syncobjs.alloc(syncobj.ref, 'drm_syncobj_get_handle');
}

/** @kernel drm_syncobj_destroy */
export interface SyncobjDestroy {
  readonly handle: number;
  readonly pad?: number;
}

/** SYNCOBJ_DESTROY @kernel drm_syncobj_destroy_ioctl @throws KernelError EOPNOTSUPP, EINVAL */
export function destroySyncobj(file: OpenFile, { handle, pad = 0 }: SyncobjDestroy): void {
  const call = 'drm_syncobj_destroy_ioctl';
  file.device.requireSyncobj(call);
  requireZero(call, 'pad', pad);
  const ref = file.syncobjs.remove(handle);
  if (ref === 0) throw new KernelError('EINVAL', call, `there is no sync object ${handle}`);
  Syncobj.of(file.machine, ref).put();
}

/** The file is closed. @kernel drm_syncobj_release */
export function closeSyncobjs({ machine, syncobjs }: OpenFile): void {
  for (const [handle] of syncobjs.entries()) Syncobj.of(machine, syncobjs.remove(handle)).put();
}

/** The object behind a handle, with a reference; undefined for none. @kernel drm_syncobj_find */
export function findSyncobj({ machine, syncobjs }: OpenFile, handle: number): Syncobj | undefined {
  const ref = syncobjs.find(handle, (found) => void Syncobj.of(machine, found).get());
  return ref === 0 ? undefined : Syncobj.of(machine, ref);
}

/** Runs `fn` on the object behind a handle. @throws KernelError ENOENT */
export function withSyncobj<T>(file: OpenFile, handle: number, call: string, fn: (syncobj: Syncobj) => T): T {
  return withSyncobjs(file, [handle], call, ([syncobj]) => fn(syncobj!));
}

/** Runs `fn` on the objects behind handles. @kernel drm_syncobj_array_find @throws KernelError ENOENT */
export function withSyncobjs<T>(
  file: OpenFile,
  handles: readonly number[],
  call: string,
  fn: (syncobjs: readonly Syncobj[]) => T,
): T {
  const found: Syncobj[] = [];
  let result: T;
  try {
    for (const handle of handles) {
      const syncobj = findSyncobj(file, handle);
      if (syncobj === undefined) throw new KernelError('ENOENT', call, `there is no sync object ${handle}`);
      found.push(syncobj);
    }
    result = fn(found);
  } catch (error) {
    if (!(error instanceof TaskKilled)) for (const syncobj of found) syncobj.put();
    throw error;
  }
  for (const syncobj of found) syncobj.put();
  return result;
}

/** @throws KernelError EINVAL when a field that must be 0 is not */
export function requireZero(call: string, field: string, value: number): void {
  if (value !== 0) throw new KernelError('EINVAL', call, `${field} must be 0, got ${value}`);
}

/** @throws KernelError EINVAL for flags that there are none of */
export function requireFlags(call: string, flags: number, known: number): void {
  if ((flags & ~known) === 0) return;
  throw new KernelError('EINVAL', call, `flags may be 0x${known.toString(16)}, got 0x${(flags >>> 0).toString(16)}`);
}

/** @throws KernelError EINVAL for no handles */
export function requireSome(call: string, handles: readonly number[]): void {
  if (handles.length === 0) throw new KernelError('EINVAL', call, 'no handles are given');
}
