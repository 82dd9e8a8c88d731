import { i32, ref, struct, u53 } from '@dmabuf-emu/shm';

/** What the threads of a program share beside its descriptors. */
export const ProcessStruct = struct('uapi_process', {
  table: ref(),
  /** Effective user and group. */
  uid: i32(),
  gid: i32(),
  /** Bytes that may be locked. @kernel RLIMIT_MEMLOCK */
  memlockBytes: u53(),
});
