import { fenceChainAlloc, fencePut, fenceUnwrapMerge } from '@dmabuf-emu/core';
import { KernelError, orUndo } from '@dmabuf-emu/shm';
import type { OpenFile } from '../device/open-file.ts';
import { requireFlags, requireZero, withSyncobj } from './handles.ts';
import type { Syncobj } from './syncobj.ts';
import { waitForPoint } from './wait.ts';
import { SyncobjWaitFlags } from './wait-flags.ts';

/** @kernel drm_syncobj_transfer */
export interface SyncobjTransfer {
  readonly src: number;
  readonly dst: number;
  /** 0: the whole of it. */
  readonly srcPoint?: number;
  /** 0: in place of what is there. */
  readonly dstPoint?: number;
  readonly flags?: number;
  readonly pad?: number;
}

/**
 * SYNCOBJ_TRANSFER: what has to signal for one object's point becomes another's. @kernel drm_syncobj_transfer_ioctl
 * @throws KernelError EOPNOTSUPP, EINVAL (pad, flags, nothing submitted), ENOENT, ETIME, ERESTARTSYS, ENOMEM
 */
export function transferSyncobj(file: OpenFile, request: SyncobjTransfer): void {
  const call = 'drm_syncobj_transfer_ioctl';
  const { src, dst, srcPoint = 0, dstPoint = 0, flags = 0, pad = 0 } = request;
  file.device.requireSyncobj(call);
  requireZero(call, 'pad', pad);
  withSyncobj(file, dst, call, (target) => {
    const fence = fenceOfHandle(file, src, srcPoint, flags);
    if (dstPoint === 0) target.replaceFence(fence);
    else
      orUndo(
        () => addMerged(target, fence, dstPoint),
        () => fencePut(file.machine, fence),
      );
    fencePut(file.machine, fence);
  });
}

/** What has to signal for a point of the object behind a handle, with a reference. @throws as `waitForPoint`; KernelError ENOENT */
export function fenceOfHandle(file: OpenFile, handle: number, point: number, flags = 0): number {
  const call = 'drm_syncobj_find_fence';
  requireFlags(call, flags, SyncobjWaitFlags.WAIT_FOR_SUBMIT);
  return withSyncobj(file, handle, call, (syncobj) => waitForPoint(syncobj, point, flags));
}

/** A point may not be a container of points: the fence is taken apart and merged. */
function addMerged(target: Syncobj, fence: number, point: number): void {
  const { machine } = target;
  const merged = fenceUnwrapMerge(machine, [fence]);
  if (merged === 0) throw new KernelError('ENOMEM', 'drm_syncobj_transfer_to_timeline', 'no memory to merge fences');
  const node = orUndo(
    () => fenceChainAlloc(machine),
    () => fencePut(machine, merged),
  );
  target.addPoint(node, merged, point);
  fencePut(machine, merged);
}
