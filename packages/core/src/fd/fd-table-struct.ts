import { i32, refcount, struct } from '@dmabuf-emu/shm';

/** The descriptors of one emulated process. @kernel files_struct */
export const FdTableStruct = struct('files_struct', {
  lock: i32(),
  /** Tasks that share it. */
  users: refcount(),
  name: i32(),
  limit: i32(),
  /** Word of the block of entries. */
  block: i32(),
  /** Entries taken, reserved ones included. */
  open: i32(),
  /** No entry below is free. @kernel next_fd */
  next: i32(),
});

/** Entry that is taken but has no file yet. Never a valid ref: refs of live slots have an odd generation. */
export const RESERVED = 1;
