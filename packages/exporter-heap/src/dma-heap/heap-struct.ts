import { i32, ref, struct } from '@dmabuf-emu/shm';

/** A heap that processes allocate buffers from. It lives as long as the machine. @kernel struct dma_heap */
export const DmaHeapStruct = struct('dma_heap', {
  name: i32(),
  /** Number of the driver that allocates, and its word. */
  ops: i32(),
  priv: i32(),
  minor: i32(),
  /** The heap that was added after it. Under the list's lock. */
  next: ref(),
});
