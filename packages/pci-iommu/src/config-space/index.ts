export { ConfigSpace } from './config-space.ts';
export { Access, FunctionFlag } from './function-state.ts';
export { FunctionReset, type ResetMethod, resetTogether } from './function-reset.ts';
export * from './registers.ts';
export type { Capabilities } from './static-registers.ts';
