import { i32, ref, struct } from '@dmabuf-emu/shm';

/** A buffer used by a driver without importer operations. */
export const StaticImportStruct = struct('static_import', {
  task: i32(),
  /** Holds a reference while it is not null. */
  dmabuf: ref(),
  attachment: ref(),
  hw: ref(),
});
