export { type CmaUsage, cmaUsage } from './cma-area.ts';
export { checkRequest as checkHeapRequest, DmaHeap, type HeapInfo, type HeapRequest } from './dma-heap.ts';
export { cmaHeapExporter, systemHeapExporter } from './exporter-ops.ts';
export { defineHeap, type HeapOps } from './heap-ops.ts';
export { type HeapOptions, registerHeaps } from './register.ts';
