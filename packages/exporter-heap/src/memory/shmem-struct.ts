import { i32, mutex, refcount, rwsem, struct, u53 } from '@dmabuf-emu/shm';
import { XARRAY_FIELDS } from './xarray.ts';

/** A file in memory. @kernel struct inode, shmem_inode_info */
export const ShmemStruct = struct('shmem_inode', {
  refs: refcount(),
  /** Bytes. Changes under both locks. */
  size: u53(),
  /** Changes of size, holes and seals. Taken before `pagesLock`. */
  inodeLock: rwsem('shmem.inode_lock'),
  pagesLock: mutex('shmem.pages_lock'),
  /** Its pages by their number; each head page has one reference. Under `pagesLock`. */
  ...XARRAY_FIELDS,
  /** Pages in the tree. Under `pagesLock`. */
  pages: i32(),
  /** Whether it is made of huge pages. */
  huge: i32(),
  /** Of a memfd: its open files, what may no longer be done to it, whether it may be executed. */
  files: i32(),
  seals: i32(),
  executable: i32(),
  /** Shared mappings that may write, now or after an mprotect. @kernel i_mmap_writable */
  writableMaps: i32(),
  /** What it is called. */
  label: i32(),
  /** Task that made it. */
  ownerTask: i32(),
});
