import { DmaBuf, FdTable, OpenFlags } from '@dmabuf-emu/core';
import { KernelError, orUndo } from '@dmabuf-emu/shm';
import type { OpenFile } from '../device/open-file.ts';
import type { GemObject } from '../gem/gem-object.ts';
import { lookUpObject, putAfter } from '../gem/lookup.ts';
import { drmExporter } from './exporter-ops.ts';
import { addMember, bufferOf } from './members.ts';

const CALL = 'drm_gem_prime_handle_to_fd';

/**
 * PRIME_HANDLE_TO_FD: a descriptor for the object's dma-buf, which is made the first time, with these flags; later ones do not
 * change it. @kernel drm_prime_handle_to_fd_ioctl
 * @param flags O_CLOEXEC, O_RDWR or nothing
 * @locks takes prime.lock, object_name_lock
 * @throws KernelError EINVAL (flags), EMFILE, ENOENT (handle), ENFILE, ENOMEM
 */
export function exportHandle(file: OpenFile, handle: number, flags: number): number {
  if ((flags & ~(OpenFlags.CLOEXEC | OpenFlags.RDWR)) !== 0) {
    throw new KernelError('EINVAL', CALL, `flags may be O_CLOEXEC and O_RDWR, got 0x${(flags >>> 0).toString(16)}`);
  }
  const table = FdTable.current(file.machine);
  const fd = table.reserve({ cloexec: (flags & OpenFlags.CLOEXEC) !== 0 });
  return orUndo(
    () => {
      table.fill(fd, handleToDmaBuf(file, handle, flags).file);
      return fd;
    },
    () => table.unreserve(fd),
  );
}

/** The object's dma-buf, with a reference. @kernel drm_gem_prime_handle_to_dmabuf */
function handleToDmaBuf(file: OpenFile, handle: number, flags: number): DmaBuf {
  return file.primeLock.with(() => {
    const gem = lookUpObject(file, handle, CALL);
    return putAfter(gem, () => bufferOf(file, handle)?.get() ?? namedBuffer(file, gem, handle, flags));
  });
}

/** The object's buffer, new or known, with a reference; this file knows its handle from now on. */
function namedBuffer(file: OpenFile, gem: GemObject, handle: number, flags: number): DmaBuf {
  return gem.device.objectNameLock.with(() => {
    const dmabuf = (gem.imported ?? gem.dmabuf)?.get() ?? exportObject(gem, flags);
    return orUndo(
      () => {
        addMember(file, dmabuf, handle);
        return dmabuf;
      },
      () => dmabuf.put(),
    );
  });
}

/**
 * Makes the object's dma-buf. The object keeps a reference as long as it has handles, the buffer one to the object.
 * @kernel export_and_register_object
 */
function exportObject(gem: GemObject, flags: number): DmaBuf {
  const { machine } = gem;
  if (gem.handleCount === 0) throw new KernelError('ENOENT', CALL, 'the handle is being closed');
  gem.get();
  const dmabuf = orUndo(
    () =>
      DmaBuf.export(machine, {
        ops: drmExporter,
        priv: gem.ref,
        size: gem.size,
        expName: gem.device.driver.expName,
        flags,
        resv: gem.resv,
      }),
    () => gem.put(),
  );
  gem.dmabuf = dmabuf.get();
  return dmabuf;
}
