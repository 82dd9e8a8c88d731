export * from './drm/index.ts';
export * from './memfd/index.ts';
export * from './memory/index.ts';
