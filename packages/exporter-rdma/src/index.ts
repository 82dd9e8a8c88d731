export { rdmaDriver } from './dma-buf/exporter-ops.ts';
export { isRevoked, liveMappings } from './dma-buf/state.ts';
export { MmapEntry } from './mmap/mmap-entry.ts';
export { entryKey, keyOfPageOffset, MmapCommand, pageOffsetOf } from './mmap/page-offset.ts';
export { RdmaDevice } from './rdma-device.ts';
export { registerRdma } from './register.ts';
