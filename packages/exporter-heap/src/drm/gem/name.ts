import { KernelError, orUndo } from '@dmabuf-emu/shm';
import type { OpenFile } from '../device/open-file.ts';
import { GemObject } from './gem-object.ts';
import { createHandle } from './handle.ts';
import { putAfter, withObject } from './lookup.ts';

/** GEM_FLINK: a name by which any file of the device can open the object. @kernel drm_gem_flink_ioctl @throws KernelError EACCES, ENOENT, ENOMEM */
export function nameObject(file: OpenFile, handle: number): number {
  const call = 'drm_gem_flink_ioctl';
  file.refuseRender(call);
  return withObject(file, handle, call, (gem) =>
    gem.device.objectNameLock.with(() => {
      if (gem.handleCount === 0) throw new KernelError('ENOENT', call, `handle ${handle} is being closed`);
      if (gem.name === 0) gem.name = gem.device.names.alloc(gem.ref, call);
      return gem.name;
    }),
  );
}

/** GEM_OPEN: a new handle for the object of that name. @kernel drm_gem_open_ioctl @throws KernelError EACCES, ENOENT, ENOMEM */
export function openName(file: OpenFile, name: number): { handle: number; size: number } {
  const call = 'drm_gem_open_ioctl';
  const { machine, device } = file;
  file.refuseRender(call);
  const opened = device.objectNameLock.with(() => {
    // Named objects have handles, which hold them.
    const ref = device.names.find(name, (found) => void GemObject.of(machine, found).get());
    if (ref === 0) throw new KernelError('ENOENT', call, `no object is named ${name}`);
    const gem = GemObject.of(machine, ref);
    return orUndo(
      () => ({ gem, handle: createHandle(file, gem) }),
      () => gem.put(),
    );
  });
  return putAfter(opened.gem, () => ({ handle: opened.handle, size: opened.gem.size }));
}
