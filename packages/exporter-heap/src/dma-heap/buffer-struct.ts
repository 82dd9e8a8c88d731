import { i32, ref, struct } from '@dmabuf-emu/shm';
import { XARRAY_FIELDS } from '../memory/xarray.ts';

/** A buffer of a heap. @kernel struct system_heap_buffer, struct cma_heap_buffer */
export const HeapBufferStruct = struct('heap_buffer', {
  /** The runs of pages that it consists of, each by the number of its first page. Constant once it is exported. */
  ...XARRAY_FIELDS,
  /** Pages. */
  pages: i32(),
  /** Whether its pages count against the CMA area. */
  cma: i32(),
  dmabuf: ref(),
  ownerTask: i32(),
});

/** A device's use of a buffer, with the table that each of its mappings fills. @kernel struct dma_heap_attachment */
export const HeapAttachmentStruct = struct('heap_attachment', {
  buffer: ref(),
  device: ref(),
  table: ref(),
  mapped: i32(),
});
