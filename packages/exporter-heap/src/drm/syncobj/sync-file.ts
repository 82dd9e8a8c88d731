import { Fence, fenceChainAlloc, type File, SyncFile } from '@dmabuf-emu/core';
import { isKernelError, KernelError, orUndo } from '@dmabuf-emu/shm';
import type { OpenFile } from '../device/open-file.ts';
import { withSyncobj } from './handles.ts';
import { fenceOfHandle } from './transfer.ts';

/**
 * A file, with one reference, of what has to signal for a point.
 * @kernel drm_syncobj_export_sync_file
 * @throws KernelError ENOENT, EINVAL (nothing submitted; no memory, as the kernel says)
 */
export function exportSyncFile(file: OpenFile, handle: number, point: number): File {
  const fence = Fence.of(file.machine, fenceOfHandle(file, handle, point));
  const made = orUndo(
    () => create(fence),
    () => fence.put(),
  );
  fence.put();
  return made;
}

function create(fence: Fence): File {
  try {
    return SyncFile.create(fence).file;
  } catch (error) {
    if (!isKernelError(error, 'ENOMEM')) throw error;
    throw new KernelError('EINVAL', 'drm_syncobj_export_sync_file', error.message);
  }
}

/**
 * Puts what is in a sync_file into a sync object, or (point not 0) behind its timeline.
 * @kernel drm_syncobj_import_sync_file_fence
 * @throws KernelError EINVAL (no sync_file), ENOENT, ENOMEM
 */
export function importSyncFile(file: OpenFile, fd: number, handle: number, point: number): void {
  const call = 'drm_syncobj_import_sync_file_fence';
  const { machine } = file;
  const fence = SyncFile.fenceOf(machine, fd);
  if (fence === undefined) throw new KernelError('EINVAL', call, `descriptor ${fd} is no sync_file`);
  orUndo(
    () =>
      withSyncobj(file, handle, call, (syncobj) => {
        if (point === 0) syncobj.replaceFence(fence.ref);
        else syncobj.addPoint(fenceChainAlloc(machine), fence.ref, point);
      }),
    () => fence.put(),
  );
  fence.put();
}
