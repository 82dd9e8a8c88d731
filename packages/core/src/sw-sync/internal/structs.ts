import { i32, ref, refcount, struct, u53 } from '@dmabuf-emu/shm';

/** @kernel sync_timeline */
export const TimelineStruct = struct('sync_timeline', {
  /** Spin lock, bit 0. Its points are signalled under it. */
  lock: i32(),
  /** The file, and one for each point. */
  refs: refcount(),
  name: i32(),
  context: i32(),
  value: i32(),
  /** Set once the file is gone. */
  closed: i32(),
  /** First point, in the order of seqnos. `next` of points makes the list; `last` is a hint where to look for its end. */
  points: ref(),
  last: ref(),
  /** The timeline made before. Under the lock of the list. */
  next: ref(),
});

/** What belongs to a fence of a timeline; `priv` of the fence is its ref. @kernel sync_pt */
export const PointStruct = struct('sync_pt', {
  timeline: ref(),
  fence: ref(),
  seqno: i32(),
  next: ref(),
  listed: i32(),
  /** Nanoseconds; counts once `hasDeadline` is set. */
  deadline: u53(),
  hasDeadline: i32(),
});
