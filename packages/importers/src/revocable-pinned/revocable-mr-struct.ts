import { i32, ref, struct } from '@dmabuf-emu/shm';

/** A memory region that is pinned until it is revoked for good. @kernel irdma_mr */
export const RevocableMrStruct = struct('revocable_mr', {
  task: i32(),
  umem: ref(),
  hw: ref(),
  /** Times that the hardware's key was invalidated by a revoke: at most once. */
  revokes: i32(),
});
