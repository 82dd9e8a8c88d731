import { i32, mutex, ref, struct } from '@dmabuf-emu/shm';
import { idTable } from '../internal/id-table.ts';

/** An open DRM device. @kernel drm_file */
export const DrmFileStruct = struct('drm_file', {
  /** Card minor of the device, and whether it was opened through the render node. */
  minor: i32(),
  isRender: i32(),
  /** Objects by handle. */
  objects: idTable(),
  /** Which dma-bufs have which handles: newest member. Under `primeLock`. */
  primeLock: mutex('drm.prime_lock'),
  primeMembers: ref(),
  syncobjs: idTable(),
  /** Fences of vgem by id; an id is never used again. */
  fences: idTable(),
});
