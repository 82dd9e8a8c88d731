import { i32, ref, refcount, struct, u53 } from '@dmabuf-emu/shm';

/** A buffer of a DRM device: pages of its own, or a dma-buf that was imported. @kernel drm_gem_object, drm_gem_shmem_object */
export const GemStruct = struct('drm_gem_object', {
  refs: refcount(),
  minor: i32(),
  size: u53(),
  resv: ref(),
  /** File in memory that its pages are of, null for an imported one. A reference. */
  shmem: ref(),
  /** How many uses keep the pages in place. Under resv. @kernel pages_pin_count */
  pins: i32(),
  /** Kernel mappings and their one address. Under resv. */
  vmapCount: i32(),
  vmapAddress: u53(),
  /** All handles in all files, and its name for GEM_OPEN, 0 for none. Under object_name_lock. */
  handleCount: i32(),
  name: i32(),
  /** What it was exported as, or imported from: a reference. Under object_name_lock. */
  dmabuf: ref(),
  /** Of an imported one: its buffer (another reference), attachment and table. Constant. */
  imported: ref(),
  attachment: ref(),
  table: ref(),
  /** Its fake offset in pages, 0 for none, and the object whose offset comes next. Under vmaLock. */
  rangeStart: i32(),
  rangePages: i32(),
  nextRange: ref(),
  /** Task that makes it. */
  ownerTask: i32(),
});
