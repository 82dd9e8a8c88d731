import { fenceChainAlloc, fenceChainFree, fenceGetStub, fencePut } from '@dmabuf-emu/core';
import { TaskKilled } from '@dmabuf-emu/shm';
import type { OpenFile } from '../device/open-file.ts';
import { requireSome, requireZero, withSyncobjs } from './handles.ts';
import type { Syncobj } from './syncobj.ts';

/** @kernel drm_syncobj_array */
export interface SyncobjArray {
  readonly handles: readonly number[];
  readonly pad?: number;
}

/** @kernel drm_syncobj_timeline_array */
export interface SyncobjTimelineArray {
  readonly handles: readonly number[];
  /** A point for each handle. */
  readonly points: readonly number[];
  readonly flags?: number;
}

/** SYNCOBJ_RESET: empties the objects. @kernel drm_syncobj_reset_ioctl @throws KernelError EOPNOTSUPP, EINVAL, ENOENT */
export function resetSyncobjs(file: OpenFile, request: SyncobjArray): void {
  withArray(file, request, 'drm_syncobj_reset_ioctl', (syncobj) => syncobj.replaceFence(0));
}

/** SYNCOBJ_SIGNAL: a signalled fence for each. @kernel drm_syncobj_signal_ioctl @throws KernelError EOPNOTSUPP, EINVAL, ENOENT, ENOMEM */
export function signalSyncobjs(file: OpenFile, request: SyncobjArray): void {
  withArray(file, request, 'drm_syncobj_signal_ioctl', (syncobj) => syncobj.signal());
}

function withArray(
  file: OpenFile,
  { handles, pad = 0 }: SyncobjArray,
  call: string,
  fn: (syncobj: Syncobj) => void,
): void {
  file.device.requireSyncobj(call);
  requireZero(call, 'pad', pad);
  requireSome(call, handles);
  withSyncobjs(file, handles, call, (syncobjs) => {
    for (const syncobj of syncobjs) fn(syncobj);
  });
}

/**
 * SYNCOBJ_TIMELINE_SIGNAL: a signalled point on each timeline. Either all get theirs or none.
 * @kernel drm_syncobj_timeline_signal_ioctl
 * @throws KernelError EOPNOTSUPP, EINVAL, ENOENT, ENOMEM
 */
export function signalTimelines(file: OpenFile, { handles, points, flags = 0 }: SyncobjTimelineArray): void {
  const call = 'drm_syncobj_timeline_signal_ioctl';
  const { machine } = file;
  file.device.requireSyncobj(call);
  requireZero(call, 'flags', flags);
  requireSome(call, handles);
  withSyncobjs(file, handles, call, (syncobjs) => {
    const nodes: number[] = [];
    try {
      while (nodes.length < syncobjs.length) nodes.push(fenceChainAlloc(machine));
    } catch (error) {
      if (!(error instanceof TaskKilled)) for (const node of nodes) fenceChainFree(machine, node);
      throw error;
    }
    for (const [i, syncobj] of syncobjs.entries()) {
      const fence = fenceGetStub(machine);
      syncobj.addPoint(nodes[i]!, fence, points[i] ?? 0);
      fencePut(machine, fence);
    }
  });
}
