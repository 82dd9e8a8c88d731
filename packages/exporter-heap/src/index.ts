export * from './dma-heap/index.ts';
export * from './drm/index.ts';
export * from './memfd/index.ts';
export * from './memory/index.ts';
export { HEAP_QUIRKS } from './quirks.ts';
export * from './udmabuf/index.ts';
