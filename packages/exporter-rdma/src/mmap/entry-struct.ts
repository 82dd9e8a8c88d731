import { i32, mutex, ref, refcount, struct, u53 } from '@dmabuf-emu/shm';

/** A part of a BAR that a program may map or export. @kernel rdma_user_mmap_entry */
export const EntryStruct = struct('rdma_user_mmap_entry', {
  /** One for the object that made it, one for each buffer, one for whoever looks at it. */
  refs: refcount(),
  /** Index of the function. */
  device: i32(),
  bar: i32(),
  /** Command and index, see {@link entryKey}; pages, which take as many indices. */
  key: i32(),
  pages: i32(),
  paddr: u53(),
  /** No new buffers, lookups fail. Set under dmabufsLock. */
  driverRemoved: i32(),
  dmabufsLock: mutex('rdma.dmabufs_lock'),
  /** Buffers, in order of export. Under dmabufsLock. */
  firstBuffer: ref(),
  lastBuffer: ref(),
  /** Neighbours in the device's list. Under entriesLock. */
  next: ref(),
  prev: ref(),
});
