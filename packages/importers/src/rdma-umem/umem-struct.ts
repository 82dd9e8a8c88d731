import { i32, ref, struct, u53 } from '@dmabuf-emu/shm';

/** A window of a buffer that an RDMA device uses as memory of an application. @kernel ib_umem_dmabuf */
export const UmemStruct = struct('ib_umem_dmabuf', {
  /** Task that made it. */
  task: i32(),
  attachment: ref(),
  dmabuf: ref(),
  /** Live mapping; null when there is none. Under resv, like all that follows. */
  sgt: ref(),
  /** Window in bytes as asked for. */
  offset: u53(),
  length: u53(),
  /** How the table was cut down to the window. */
  firstSg: i32(),
  nents: i32(),
  firstOffset: u53(),
  lastTrim: u53(),
  pinned: i32(),
  /** Set for good once it was revoked. */
  revoked: i32(),
  /** Number of the driver's function that stops the hardware; 0 until it is set. @kernel pinned_revoke */
  revoke: i32(),
  /** The driver's data. @kernel private */
  priv: i32(),
});
