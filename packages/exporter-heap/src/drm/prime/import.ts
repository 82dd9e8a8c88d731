import { DmaBuf, DmaDirection } from '@dmabuf-emu/core';
import { KernelError, orUndo, TaskKilled } from '@dmabuf-emu/shm';
import type { DrmDevice } from '../device/device.ts';
import type { OpenFile } from '../device/open-file.ts';
import { GemObject } from '../gem/gem-object.ts';
import { createHandle, deleteHandle } from '../gem/handle.ts';
import { putAfter } from '../gem/lookup.ts';
import { drmExporter, gemOf } from './exporter-ops.ts';
import { addMember, handleOf } from './members.ts';

/**
 * PRIME_FD_TO_HANDLE: the handle of a dma-buf in this file, made the first time.
 * @kernel drm_gem_prime_fd_to_handle
 * @locks takes prime.lock, object_name_lock, resv
 * @throws KernelError EBADF, EINVAL (no dma-buf), ENOMEM, and what attaching to and mapping the buffer throw
 */
export function importFd(file: OpenFile, fd: number): number {
  const dmabuf = DmaBuf.get(file.machine, fd);
  let handle: number;
  try {
    handle = importBuffer(file, dmabuf);
  } catch (error) {
    if (!(error instanceof TaskKilled)) dmabuf.put();
    throw error;
  }
  dmabuf.put();
  return handle;
}

function importBuffer(file: OpenFile, dmabuf: DmaBuf): number {
  let failed: { error: unknown; handle: number } | undefined;
  const handle = file.primeLock.with(() => {
    const known = handleOf(file, dmabuf);
    if (known !== 0) return known;
    const made = newHandle(file, dmabuf);
    try {
      addMember(file, dmabuf, made);
    } catch (error) {
      if (error instanceof TaskKilled) throw error;
      failed = { error, handle: made };
    }
    return made;
  });
  if (failed === undefined) return handle;
  deleteHandle(file, failed.handle);
  throw failed.error;
}

/** A handle for a buffer that the file has none for. */
function newHandle(file: OpenFile, dmabuf: DmaBuf): number {
  const { device } = file;
  const made = device.objectNameLock.with(() => {
    const gem = importObject(device, dmabuf);
    return orUndo(
      () => {
        if (gem.dmabuf === null) gem.dmabuf = dmabuf.get();
        return { gem, handle: createHandle(file, gem) };
      },
      () => giveUp(gem),
    );
  });
  return putAfter(made.gem, () => made.handle);
}

/** An object that got no handle does not keep the buffer. */
function giveUp(gem: GemObject): void {
  const { dmabuf } = gem;
  if (gem.handleCount === 0 && dmabuf !== null) {
    gem.dmabuf = null;
    dmabuf.put();
  }
  gem.put();
}

/**
 * The object of a buffer, with a reference: the very one that this device exported, or a new one that is attached.
 * @kernel drm_gem_prime_import_dev
 */
function importObject(device: DrmDevice, dmabuf: DmaBuf): GemObject {
  if (dmabuf.exporter === drmExporter && gemOf(dmabuf).device === device) return gemOf(dmabuf).get();
  const attachment = dmabuf.attach(device.dmaDevice);
  dmabuf.get();
  return orUndo(
    () => {
      const table = attachment.mapUnlocked(DmaDirection.BIDIRECTIONAL);
      return orUndo(
        () => {
          if (device.driver.refusesImports === true) {
            throw new KernelError('ENODEV', 'drm_gem_prime_import', `${device.driver.name} takes no pages of others`);
          }
          const gem = GemObject.overImport(device, dmabuf, attachment.ref, table.ref);
          dmabuf.resv.with(() => attachment.disown());
          return gem;
        },
        () => attachment.unmapUnlocked(table, DmaDirection.BIDIRECTIONAL),
      );
    },
    () => {
      dmabuf.detach(attachment);
      dmabuf.put();
    },
  );
}
