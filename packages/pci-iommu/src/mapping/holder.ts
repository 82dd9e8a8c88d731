import { i32, ref, struct, u53 } from '@dmabuf-emu/shm';

/** What is kept for one mapping of peer memory, reached from its table. @kernel struct dma_buf_dma */
export const HolderStruct = struct('dma_buf_dma', {
  sgt: ref(),
  /** Function that the mapping is for. */
  requester: i32(),
  direction: i32(),
  /** Task that mapped it. */
  task: i32(),
  /** A `P2pMapType`. */
  mapType: i32(),
  /** First of its grants. */
  grants: ref(),
  /** Range of IOVAs; size 0 without one. */
  iovaAddress: u53(),
  iovaSize: u53(),
  size: u53(),
});

/** Word of an sg table that names the holder. The other three are the exporter's. */
export const HOLDER_WORD = 3;
