import { REVOCABLE_FIELDS } from '@dmabuf-emu/core';
import { i32, ref, struct, u53 } from '@dmabuf-emu/shm';

/** A buffer over an entry's pages. @kernel ib_uverbs_dmabuf_file */
export const RdmaDmaBufStruct = struct('ib_uverbs_dmabuf_file', {
  ...REVOCABLE_FIELDS,
  paddr: u53(),
  length: u53(),
  bar: i32(),
  /** Index of the function. */
  device: i32(),
  dmabuf: ref(),
  /** Entry that it is over, with a reference; 0 once the object was destroyed. */
  entry: ref(),
  /** The object is, or is being, destroyed. */
  destroyed: i32(),
  /** Neighbours in the entry's list. Under dmabufs_lock. */
  next: ref(),
  prev: ref(),
  listed: i32(),
  /** The buffer's lock or mappings of it were lost with a dead task; whether anybody still uses it cannot be known. */
  lost: i32(),
  ownerTask: i32(),
});
