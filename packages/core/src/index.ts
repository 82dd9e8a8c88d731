export * from './device/index.ts';
export * from './dma-buf/index.ts';
export * from './fd/index.ts';
export * from './fence/index.ts';
export { CORE_QUIRKS } from './quirks.ts';
export * from './resv/index.ts';
export * from './sg/index.ts';
export * from './sw-sync/index.ts';
export * from './sync-file/index.ts';
