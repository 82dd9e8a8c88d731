export * from './memfd/index.ts';
export * from './memory/index.ts';
