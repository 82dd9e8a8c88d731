import { i32, ref, struct } from '@dmabuf-emu/shm';

/** A foreign buffer as a GPU's buffer object. @kernel xe_bo, amdgpu_bo */
export const GpuBoStruct = struct('gpu_bo', {
  task: i32(),
  /** Holds a reference while it is not null. */
  dmabuf: ref(),
  attachment: ref(),
  hw: ref(),
  /** Live mapping; null when there is none. Under resv. */
  sgt: ref(),
  /** The mapping must not be used by jobs that are not submitted yet. Set under resv. */
  stale: i32(),
  /** Jobs submitted and not ended. Goes up under resv, down at any time. */
  inFlight: i32(),
  /** Mappings ended by a callback, and by the ring after its jobs. */
  unmapsNow: i32(),
  unmapsDeferred: i32(),
});
