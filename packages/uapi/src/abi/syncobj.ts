import { iowr } from './ioctl-command.ts';
import { abiStruct, s32, s64, u32, u64 } from './layout.ts';

export const DRM_IOCTL_SYNCOBJ_CREATE = iowr(
  'DRM_IOCTL_SYNCOBJ_CREATE',
  'd',
  0xbf,
  abiStruct('drm_syncobj_create', { handle: u32, flags: u32 }),
);

export const DRM_IOCTL_SYNCOBJ_DESTROY = iowr(
  'DRM_IOCTL_SYNCOBJ_DESTROY',
  'd',
  0xc0,
  abiStruct('drm_syncobj_destroy', { handle: u32, pad: u32 }),
);

const Handle = abiStruct('drm_syncobj_handle', { handle: u32, flags: u32, fd: s32, pad: u32, point: u64 });

export const DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD = iowr('DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD', 'd', 0xc1, Handle);
export const DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE = iowr('DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE', 'd', 0xc2, Handle);

export const DRM_IOCTL_SYNCOBJ_WAIT = iowr(
  'DRM_IOCTL_SYNCOBJ_WAIT',
  'd',
  0xc3,
  abiStruct('drm_syncobj_wait', {
    handles: u64,
    timeout_nsec: s64,
    count_handles: u32,
    flags: u32,
    first_signaled: u32,
    pad: u32,
    deadline_nsec: u64,
  }),
);

const HandleArray = abiStruct('drm_syncobj_array', { handles: u64, count_handles: u32, pad: u32 });

export const DRM_IOCTL_SYNCOBJ_RESET = iowr('DRM_IOCTL_SYNCOBJ_RESET', 'd', 0xc4, HandleArray);
export const DRM_IOCTL_SYNCOBJ_SIGNAL = iowr('DRM_IOCTL_SYNCOBJ_SIGNAL', 'd', 0xc5, HandleArray);

export const DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT = iowr(
  'DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT',
  'd',
  0xca,
  abiStruct('drm_syncobj_timeline_wait', {
    handles: u64,
    points: u64,
    timeout_nsec: s64,
    count_handles: u32,
    flags: u32,
    first_signaled: u32,
    pad: u32,
    deadline_nsec: u64,
  }),
);

const TimelineArray = abiStruct('drm_syncobj_timeline_array', {
  handles: u64,
  points: u64,
  count_handles: u32,
  flags: u32,
});

export const DRM_IOCTL_SYNCOBJ_QUERY = iowr('DRM_IOCTL_SYNCOBJ_QUERY', 'd', 0xcb, TimelineArray);
export const DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL = iowr('DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL', 'd', 0xcd, TimelineArray);

export const DRM_IOCTL_SYNCOBJ_TRANSFER = iowr(
  'DRM_IOCTL_SYNCOBJ_TRANSFER',
  'd',
  0xcc,
  abiStruct('drm_syncobj_transfer', {
    src_handle: u32,
    dst_handle: u32,
    src_point: u64,
    dst_point: u64,
    flags: u32,
    pad: u32,
  }),
);

export const DRM_IOCTL_SYNCOBJ_EVENTFD = iowr(
  'DRM_IOCTL_SYNCOBJ_EVENTFD',
  'd',
  0xcf,
  abiStruct('drm_syncobj_eventfd', { handle: u32, flags: u32, point: u64, fd: s32, pad: u32 }),
);
