export * from './dma-buf.ts';
export * from './dma-heap.ts';
export * from './drm.ts';
export { type IoctlCommand, ioctlNumber, ioctlParts } from './ioctl-command.ts';
export { type AbiField, AbiStruct, abiStruct, type AbiValues, chars, s32, s64, u32, u64 } from './layout.ts';
export * from './sw-sync.ts';
export * from './sync-file.ts';
export * from './syncobj.ts';
export * from './udmabuf.ts';
