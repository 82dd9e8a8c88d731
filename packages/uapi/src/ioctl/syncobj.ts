import {
  DRM_IOCTL_SYNCOBJ_CREATE,
  DRM_IOCTL_SYNCOBJ_DESTROY,
  DRM_IOCTL_SYNCOBJ_EVENTFD,
  DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE,
  DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD,
  DRM_IOCTL_SYNCOBJ_QUERY,
  DRM_IOCTL_SYNCOBJ_RESET,
  DRM_IOCTL_SYNCOBJ_SIGNAL,
  DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL,
  DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT,
  DRM_IOCTL_SYNCOBJ_TRANSFER,
  DRM_IOCTL_SYNCOBJ_WAIT,
} from '../abi/syncobj.ts';
import type { IoctlCall } from '../files/file-behaviour.ts';
import { drmCommand, type DrmCommand } from './drm-table.ts';

/** The commands of sync objects. Handles, and points as numbers exact to 2^53, come from arrays in the program's memory. */
export const SYNCOBJ_COMMANDS: readonly DrmCommand[] = [
  drmCommand(DRM_IOCTL_SYNCOBJ_CREATE, ({ drm, args }) => {
    args.handle = drm.syncobjCreate(args.flags);
  }),
  drmCommand(DRM_IOCTL_SYNCOBJ_DESTROY, ({ drm, args }) => drm.syncobjDestroy(args)),
  drmCommand(DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, ({ drm, args }) => {
    args.fd = drm.syncobjHandleToFd({ ...args, point: Number(args.point) });
  }),
  drmCommand(DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, ({ drm, args }) => {
    args.handle = drm.syncobjFdToHandle(args.fd, { ...args, point: Number(args.point) });
  }),
  drmCommand(DRM_IOCTL_SYNCOBJ_WAIT, ({ drm, call, args }) => {
    const first = drm.syncobjWait({ ...waitOf(args), handles: handlesOf(call, args) });
    args.first_signaled = first ?? args.first_signaled;
  }),
  drmCommand(DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT, ({ drm, call, args }) => {
    const request = { ...waitOf(args), handles: handlesOf(call, args), points: pointsOf(call, args) };
    args.first_signaled = drm.syncobjWait(request) ?? args.first_signaled;
  }),
  drmCommand(DRM_IOCTL_SYNCOBJ_RESET, ({ drm, call, args }) =>
    drm.syncobjReset({ handles: handlesOf(call, args), pad: args.pad }),
  ),
  drmCommand(DRM_IOCTL_SYNCOBJ_SIGNAL, ({ drm, call, args }) =>
    drm.syncobjSignal({ handles: handlesOf(call, args), pad: args.pad }),
  ),
  drmCommand(DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL, ({ drm, call, args }) =>
    drm.syncobjTimelineSignal({ handles: handlesOf(call, args), points: pointsOf(call, args), flags: args.flags }),
  ),
  drmCommand(DRM_IOCTL_SYNCOBJ_QUERY, ({ drm, call, args }) => {
    const points = drm.syncobjQuery({ handles: handlesOf(call, args), flags: args.flags });
    const bytes = new Uint8Array(BigUint64Array.from(points.map(exactPoint)).buffer);
    call.process.memory.write(args.points, bytes);
  }),
  drmCommand(DRM_IOCTL_SYNCOBJ_TRANSFER, ({ drm, args }) =>
    drm.syncobjTransfer({
      src: args.src_handle,
      dst: args.dst_handle,
      srcPoint: Number(args.src_point),
      dstPoint: Number(args.dst_point),
      flags: args.flags,
      pad: args.pad,
    }),
  ),
  drmCommand(DRM_IOCTL_SYNCOBJ_EVENTFD, ({ drm, args }) => drm.syncobjEventfd({ ...args, point: Number(args.point) })),
];

/** The last point of all is beyond what a number tells apart. */
function exactPoint(point: number): bigint {
  return point >= 2 ** 64 ? 2n ** 64n - 1n : BigInt(point);
}

interface WaitArgs {
  readonly timeout_nsec: bigint;
  readonly flags: number;
  readonly deadline_nsec: bigint;
}

function waitOf({ timeout_nsec: timeout, flags, deadline_nsec: deadline }: WaitArgs): {
  timeoutNs: number;
  flags: number;
  deadlineNs: number;
} {
  return { timeoutNs: Number(timeout), flags, deadlineNs: Number(BigInt.asIntN(64, deadline)) };
}

interface ArrayArgs {
  readonly handles: bigint;
  readonly points?: bigint;
  readonly count_handles: number;
}

function handlesOf({ process }: IoctlCall, { handles, count_handles: count }: ArrayArgs): number[] {
  const bytes = process.memory.read(handles, count * 4);
  return Array.from({ length: count }, (_, i) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(i * 4, true));
}

/** Without an array every point is 0. */
function pointsOf({ process }: IoctlCall, { points = 0n, count_handles: count }: ArrayArgs): number[] {
  if (points === 0n) return Array.from({ length: count }, () => 0);
  const bytes = process.memory.read(points, count * 8);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return Array.from({ length: count }, (_, i) => Number(view.getBigUint64(i * 8, true)));
}
