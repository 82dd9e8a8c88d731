import { i32, mutex, ref, struct } from '@dmabuf-emu/shm';
import { idTable } from '../internal/id-table.ts';

/** A DRM device: one for each driver. @kernel drm_device */
export const DrmDeviceStruct = struct('drm_device', {
  /** The device that imports are attached to. */
  device: ref(),
  /** Names of objects, and which of them have a dma-buf. */
  objectNameLock: mutex('drm.object_name_lock'),
  names: idTable(),
  /** Ranges of fake offsets: spin lock, and the objects that have one in order of their offsets. */
  vmaLock: i32(),
  firstRange: ref(),
});
