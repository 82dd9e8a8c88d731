import { defineFenceOps, type FenceDriver } from '@dmabuf-emu/core';

/** Fences of the rings of one GPU driver. @param name - of the driver's importer, which reports then show */
export function defineGpuFence(name: string): FenceDriver {
  return defineFenceOps({
    name,
    getDriverName: () => name,
    getTimelineName: (fence) => `ring-${fence.context}`,
  });
}

/** Fences of a GPU's rings: a job's, and that of a page-table update. */
export const gpuFence: FenceDriver = defineGpuFence('gpu');
