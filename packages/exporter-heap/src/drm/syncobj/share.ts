import { FdTable, File, type FileOps } from '@dmabuf-emu/core';
import { isKernelError, KernelError, type Machine, orUndo } from '@dmabuf-emu/shm';
import type { OpenFile } from '../device/open-file.ts';
import { DRM_QUIRKS } from '../quirks.ts';
import { addHandle, findSyncobj, requireFlags, requireZero } from './handles.ts';
import { exportSyncFile, importSyncFile } from './sync-file.ts';
import { Syncobj } from './syncobj.ts';
import { SyncobjStruct } from './syncobj-struct.ts';

/** @kernel DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_*, DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_* */
export const SyncobjFdFlags = { SYNC_FILE: 1, TIMELINE: 2 } as const;

/** @kernel drm_syncobj_handle */
export interface SyncobjHandle {
  readonly handle: number;
  readonly flags?: number;
  /** Of use with flag TIMELINE. */
  readonly point?: number;
  readonly pad?: number;
}

const SYNCOBJ_FILE = 'syncobj_file';

/** @kernel drm_syncobj_file_fops */
export const SYNCOBJ_FILE_OPS: FileOps = {
  name: SYNCOBJ_FILE,
  release: ({ machine, priv }) => {
    const syncobj = Syncobj.of(machine, priv);
    SyncobjStruct.files.sub(machine.mem, syncobj.p, 1);
    syncobj.put();
  },
};

/**
 * SYNCOBJ_HANDLE_TO_FD: a descriptor for the object, or (flag SYNC_FILE) for what is in it now.
 * @kernel drm_syncobj_handle_to_fd_ioctl
 * @throws KernelError EOPNOTSUPP, EINVAL (pad, flags, point; no such object; nothing submitted), ENOENT (no such object to make a
 *   sync_file of), EMFILE, ENFILE, ENOMEM
 */
export function syncobjToFd(file: OpenFile, request: SyncobjHandle): number {
  const call = 'drm_syncobj_handle_to_fd_ioctl';
  const { machine } = file;
  const point = checkedPoint(file, request, call);
  const { handle, flags = 0 } = request;
  if ((flags & SyncobjFdFlags.SYNC_FILE) !== 0) {
    return installNew(machine, () => exportSyncFile(file, handle, point));
  }
  const syncobj = findSyncobj(file, handle);
  if (syncobj === undefined) throw new KernelError('EINVAL', call, `there is no sync object ${handle}`);
  return orUndo(
    () => installNew(machine, () => openFile(syncobj)),
    () => syncobj.put(),
  );
}

/**
 * SYNCOBJ_FD_TO_HANDLE: a new handle for the object behind a descriptor, or (flag SYNC_FILE) what is in a sync_file for the
 * object that the handle names.
 * @returns the handle
 * @kernel drm_syncobj_fd_to_handle_ioctl
 * @throws KernelError EOPNOTSUPP, EINVAL (pad, flags, point; a descriptor of something else), ENOENT, ENOMEM
 */
export function fdToSyncobj(file: OpenFile, fd: number, request: SyncobjHandle): number {
  const call = 'drm_syncobj_fd_to_handle_ioctl';
  const point = checkedPoint(file, request, call);
  const { handle, flags = 0 } = request;
  if ((flags & SyncobjFdFlags.SYNC_FILE) !== 0) {
    importSyncFile(file, fd, handle, point);
    return handle;
  }
  const syncobj = syncobjOfFd(file.machine, fd);
  if (syncobj === undefined) throw new KernelError('EINVAL', call, `descriptor ${fd} is no sync object`);
  return orUndo(
    () => addHandle(file, syncobj),
    () => syncobj.put(),
  );
}

/** The checks of both calls; the point that is meant. */
function checkedPoint(file: OpenFile, { flags = 0, point = 0, pad = 0 }: SyncobjHandle, call: string): number {
  const noPoints = DRM_QUIRKS.has(file.machine, 'drm.noSyncobjPoints');
  file.device.requireSyncobj(call);
  requireZero(call, 'pad', pad);
  requireFlags(call, flags, noPoints ? SyncobjFdFlags.SYNC_FILE : SyncobjFdFlags.SYNC_FILE | SyncobjFdFlags.TIMELINE);
  if (noPoints) return 0;
  if ((flags & SyncobjFdFlags.SYNC_FILE) === 0) requireZero(call, 'point', point);
  return (flags & SyncobjFdFlags.TIMELINE) === 0 ? 0 : point;
}

/** A file that takes over the caller's reference. @kernel drm_syncobj_get_fd @throws KernelError ENFILE, ENOMEM; the caller keeps it then */
function openFile({ machine, ref, p }: Syncobj): File {
  const file = File.create(machine, { type: SYNCOBJ_FILE, priv: ref, flags: 0 }, 'drm_syncobj_get_fd');
  SyncobjStruct.files.add(machine.mem, p, 1);
  return file;
}

/** The object behind a descriptor, with a reference; undefined when it is none. */
function syncobjOfFd(machine: Machine, fd: number): Syncobj | undefined {
  const file = tryGetFile(machine, fd);
  const syncobj = file?.type === SYNCOBJ_FILE ? Syncobj.of(machine, file.priv).get() : undefined;
  file?.put();
  return syncobj;
}

function tryGetFile(machine: Machine, fd: number): File | undefined {
  try {
    return FdTable.current(machine).get(fd);
  } catch (error) {
    if (!isKernelError(error, 'EBADF')) throw error;
    return undefined;
  }
}

/** A close-on-exec descriptor, taken first, for the file that `make` makes. */
function installNew(machine: Machine, make: () => File): number {
  const table = FdTable.current(machine);
  const fd = table.reserve({ cloexec: true });
  return orUndo(
    () => {
      table.fill(fd, make());
      return fd;
    },
    () => table.unreserve(fd),
  );
}
