import { iow, iowr } from './ioctl-command.ts';
import { abiStruct, chars, s32, u32, u64 } from './layout.ts';

/** Bytes of a name in these structs, the closing NUL included. */
export const SYNC_NAME_BYTES = 32;

/** @kernel SYNC_IOC_MAGIC */
const MAGIC = '>';

/** @kernel SYNC_IOC_MERGE, sync_merge_data */
export const SYNC_IOC_MERGE = iowr(
  'SYNC_IOC_MERGE',
  MAGIC,
  3,
  abiStruct('sync_merge_data', { name: chars(SYNC_NAME_BYTES), fd2: s32, fence: s32, flags: u32, pad: u32 }),
);

/** @kernel SYNC_IOC_FILE_INFO, sync_file_info */
export const SYNC_IOC_FILE_INFO = iowr(
  'SYNC_IOC_FILE_INFO',
  MAGIC,
  4,
  abiStruct('sync_file_info', {
    name: chars(SYNC_NAME_BYTES),
    status: s32,
    flags: u32,
    num_fences: u32,
    pad: u32,
    sync_fence_info: u64,
  }),
);

/** @kernel sync_fence_info */
export const SyncFenceInfo = abiStruct('sync_fence_info', {
  obj_name: chars(SYNC_NAME_BYTES),
  driver_name: chars(SYNC_NAME_BYTES),
  status: s32,
  flags: u32,
  timestamp_ns: u64,
});

/** @kernel SYNC_IOC_SET_DEADLINE, sync_set_deadline */
export const SYNC_IOC_SET_DEADLINE = iow(
  'SYNC_IOC_SET_DEADLINE',
  MAGIC,
  5,
  abiStruct('sync_set_deadline', { deadline_ns: u64, pad: u64 }),
);
