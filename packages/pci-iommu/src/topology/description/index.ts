export type * from './capability-descriptions.ts';
export { type ConfigRun, describeConfig, parseConfigRuns } from './config-runs.ts';
export * from './machine-description.ts';
export { checkMachineDescription, parseMachineDescription } from './parse-machine.ts';
export { stringifyMachine } from './stringify-machine.ts';
export { isDecodedMemory } from './check-bars.ts';
