import { i32, struct, words } from '@dmabuf-emu/shm';

/** Most fences that one job can be ordered behind. */
export const MAX_BEFORE = 24;

/** A job on its way. */
export const GpuJobStruct = struct('gpu_job', {
  task: i32(),
  /** Fences that it is ordered behind, with a reference on each. */
  count: i32(),
  before: words(MAX_BEFORE),
});
