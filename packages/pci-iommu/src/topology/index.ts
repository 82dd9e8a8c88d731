export * from './acs.ts';
export * from './bdf.ts';
export * from './convert/index.ts';
export * from './description/index.ts';
export * from './lspci/index.ts';
export * from './machines/index.ts';
export * from './pcie-type.ts';
export { TopologyError, type TopologyErrorPlace } from './topology-error.ts';
export * from './tree/index.ts';
