import { i32, ref, refcount, struct, u53 } from '@dmabuf-emu/shm';

/** A place for a fence that programs share. @kernel drm_syncobj */
export const SyncobjStruct = struct('drm_syncobj', {
  refs: refcount(),
  /** How many of them are open files. */
  files: i32(),
  /** The fence in it: a reference; null for none. Changes under `lock`. */
  fence: ref(),
  lock: i32(),
  /** Those who wait for a fence or a point to come, oldest first. Under `lock`. */
  waits: ref(),
  eventfds: ref(),
});

/** A task that waits for one point of one sync object. @kernel syncobj_wait_entry */
export const WaitEntryStruct = struct('syncobj_wait_entry', {
  /** Neighbour in the object's list, and whether it is on it. Under the object's lock. */
  next: ref(),
  listed: i32(),
  /** A reference. */
  syncobj: ref(),
  point: u53(),
  /** What has to signal: a reference; null until it has been submitted. */
  fence: ref(),
  /** On the fence once somebody waits for it; arg is the task's event word. */
  callback: ref(),
  task: i32(),
});

/** An eventfd that is to be told of a point. @kernel syncobj_eventfd_entry */
export const EventfdEntryStruct = struct('syncobj_eventfd_entry', {
  next: ref(),
  point: u53(),
  flags: i32(),
  /** File of the eventfd: a reference. */
  file: ref(),
  /** Once the point is submitted: the fence, a reference, and the callback on it. */
  fence: ref(),
  callback: ref(),
});
