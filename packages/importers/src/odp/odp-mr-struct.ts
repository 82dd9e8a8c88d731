import { i32, ref, struct } from '@dmabuf-emu/shm';

/** A memory region whose translations come and go. @kernel mlx5_ib_mr */
export const OdpMrStruct = struct('odp_mr', {
  task: i32(),
  umem: ref(),
  hw: ref(),
  /** Page faults served, callbacks that took a mapping away. */
  faults: i32(),
  invalidations: i32(),
});
