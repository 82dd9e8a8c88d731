import type { DmaBuf } from '@dmabuf-emu/core';
import { UsageError } from '@dmabuf-emu/shm';
import type { DmaHeap } from './dma-heap.ts';

/** What makes the buffers of a heap. Registered by name in every thread that allocates. @kernel dma_heap_ops */
export interface HeapOps {
  readonly kind: 'dma-heap';
  readonly name: string;
  /** A zeroed buffer of `len` bytes (whole pages, not 0), whose one reference is the caller's. */
  allocate(heap: DmaHeap, len: number, fdFlags: number): DmaBuf;
}

/** Makes a driver of heaps. @throws UsageError without a name */
export function defineHeap(ops: Omit<HeapOps, 'kind'>): HeapOps {
  if (typeof ops.name !== 'string' || ops.name === '') throw new UsageError('a driver of heaps needs a name');
  return Object.freeze({ ...ops, kind: 'dma-heap' as const });
}
