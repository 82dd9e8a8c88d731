import { KernelError, TaskKilled } from '@dmabuf-emu/shm';
import type { OpenFile } from '../device/open-file.ts';
import { GemObject } from './gem-object.ts';

/** The object behind a handle, with a reference. @kernel drm_gem_object_lookup @throws KernelError ENOENT */
export function lookUpObject(file: OpenFile, handle: number, call: string): GemObject {
  const ref = file.objects.find(handle, (gem) => void GemObject.of(file.machine, gem).get());
  if (ref !== 0) return GemObject.of(file.machine, ref);
  throw new KernelError('ENOENT', call, `there is no object with handle ${handle}`);
}

/** Runs `fn` on the object behind a handle. @throws KernelError ENOENT */
export function withObject<T>(file: OpenFile, handle: number, call: string, fn: (gem: GemObject) => T): T {
  const gem = lookUpObject(file, handle, call);
  return putAfter(gem, () => fn(gem));
}

/** Runs `fn`, then drops the caller's reference. */
export function putAfter<T>(gem: GemObject, fn: () => T): T {
  let result: T;
  try {
    result = fn();
  } catch (error) {
    if (!(error instanceof TaskKilled)) gem.put();
    throw error;
  }
  gem.put();
  return result;
}
