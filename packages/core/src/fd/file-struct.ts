import { i32, ref, refcount, struct, u53 } from '@dmabuf-emu/shm';

/** An open file description: what descriptors, mappings and the kernel itself hold references to. @kernel file */
export const FileStruct = struct('file', {
  refs: refcount(),
  /** Kind of file, and what it is a file of. */
  type: i32(),
  priv: ref(),
  flags: i32(),
  mode: i32(),
  /** Where the next read or write takes place. @kernel f_pos */
  pos: u53(),
  /** References that mappings of this file hold; part of `refs`. */
  maps: i32(),
  /** Tasks that ever took a reference: bit id modulo 32. One of them that dies may have taken references to its grave. */
  takers: i32(),
  /** After the last put: {@link FINAL_PENDING} or {@link FINAL_RUNNING}, and the task that has to do or does it. */
  finalState: i32(),
  finalTask: i32(),
  /** Dead task that took references to its grave. */
  lostBy: i32(),
  /** Epoll items that watch it, newest first, and the spin lock of that list. @kernel f_ep */
  watchLock: i32(),
  watchers: ref(),
});

export const FINAL_PENDING = 1;
export const FINAL_RUNNING = 2;
