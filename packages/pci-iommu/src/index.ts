export * from './config-space/index.ts';
export * from './dma/index.ts';
export * from './iommu/index.ts';
export * from './mapping/index.ts';
export * from './memory/index.ts';
export * from './p2pdma/index.ts';
export * from './system/index.ts';
export * from './topology/index.ts';
