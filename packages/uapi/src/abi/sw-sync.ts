import { iow, iowr } from './ioctl-command.ts';
import { abiStruct, chars, s32, u32, u64 } from './layout.ts';

export const SW_SYNC_IOC_CREATE_FENCE = iowr(
  'SW_SYNC_IOC_CREATE_FENCE',
  'W',
  0,
  abiStruct('sw_sync_create_fence_data', { value: u32, name: chars(32), fence: s32 }),
);

export const SW_SYNC_IOC_INC = iow('SW_SYNC_IOC_INC', 'W', 1, abiStruct('__u32', { value: u32 }));

export const SW_SYNC_GET_DEADLINE = iowr(
  'SW_SYNC_GET_DEADLINE',
  'W',
  2,
  abiStruct('sw_sync_get_deadline', { deadline_ns: u64, pad: u32, fence_fd: s32 }),
);
