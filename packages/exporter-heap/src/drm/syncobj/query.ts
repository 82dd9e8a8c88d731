import {
  Fence,
  fenceChainPrevSeqno,
  fenceChainWalk,
  fenceGet,
  fenceIsChain,
  fenceIsSignaled,
  fencePut,
} from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';
import type { OpenFile } from '../device/open-file.ts';
import { requireFlags, requireSome, withSyncobjs } from './handles.ts';

/** @kernel DRM_SYNCOBJ_QUERY_FLAGS_LAST_SUBMITTED */
export const SYNCOBJ_QUERY_LAST_SUBMITTED = 1;

/** SYNCOBJ_QUERY */
export interface SyncobjQuery {
  readonly handles: readonly number[];
  readonly flags?: number;
}

/**
 * SYNCOBJ_QUERY: the last point of each timeline that has signalled, or that was submitted; 0 where there is no timeline.
 * @kernel drm_syncobj_query_ioctl
 * @throws KernelError EOPNOTSUPP, EINVAL, ENOENT
 */
export function querySyncobjs(file: OpenFile, { handles, flags = 0 }: SyncobjQuery): number[] {
  const call = 'drm_syncobj_query_ioctl';
  const { machine } = file;
  file.device.requireSyncobj(call);
  requireFlags(call, flags, SYNCOBJ_QUERY_LAST_SUBMITTED);
  requireSome(call, handles);
  return withSyncobjs(file, handles, call, (syncobjs) =>
    syncobjs.map((syncobj) => {
      const fence = syncobj.getFence();
      if (!fenceIsChain(machine, fence)) {
        fencePut(machine, fence);
        return 0;
      }
      const point = flags === 0 ? signaledPoint(machine, fence) : Fence.of(machine, fence).seqno;
      fencePut(machine, fence);
      return point;
    }),
  );
}

/** The oldest point of the same timeline that is left tells: its own number once it has signalled, else the one before. */
function signaledPoint(machine: Machine, newest: number): number {
  const { context } = Fence.of(machine, newest);
  let oldest = fenceGet(machine, newest);
  let node = fenceGet(machine, newest);
  while (node !== 0 && Fence.of(machine, node).context === context) {
    fencePut(machine, oldest);
    oldest = fenceGet(machine, node);
    node = fenceChainWalk(machine, node);
  }
  fencePut(machine, node);
  const point = fenceIsSignaled(machine, oldest)
    ? Fence.of(machine, oldest).seqno
    : fenceChainPrevSeqno(machine, oldest);
  fencePut(machine, oldest);
  return point;
}
