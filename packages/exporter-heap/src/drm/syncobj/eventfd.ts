import { orUndo } from '@dmabuf-emu/shm';
import { EventFd, FdTable } from '@dmabuf-emu/core';
import type { OpenFile } from '../device/open-file.ts';
import { addEventfd } from './eventfd-entries.ts';
import { requireFlags, requireZero, withSyncobj } from './handles.ts';
import { SyncobjWaitFlags } from './wait-flags.ts';

/** @kernel drm_syncobj_eventfd */
export interface SyncobjEventfd {
  readonly handle: number;
  readonly point?: number;
  /** Descriptor of the eventfd. */
  readonly fd: number;
  readonly flags?: number;
  readonly pad?: number;
}

/**
 * SYNCOBJ_EVENTFD: has an eventfd told once the point has signalled, or (flag WAIT_AVAILABLE) was submitted.
 * @kernel drm_syncobj_eventfd_ioctl
 * @throws KernelError EOPNOTSUPP, EINVAL (flags, pad; no eventfd), ENOENT, EBADF, ENOMEM
 */
export function eventfdSyncobj(file: OpenFile, request: SyncobjEventfd): void {
  const call = 'drm_syncobj_eventfd_ioctl';
  const { handle, point = 0, fd, flags = 0, pad = 0 } = request;
  file.device.requireSyncobj(call);
  requireFlags(call, flags, SyncobjWaitFlags.WAIT_AVAILABLE);
  requireZero(call, 'pad', pad);
  withSyncobj(file, handle, call, (syncobj) => {
    const target = FdTable.current(file.machine).get(fd);
    orUndo(
      () => addEventfd(syncobj, EventFd.of(target).file, point, flags),
      () => target.put(),
    );
    target.put();
  });
}
