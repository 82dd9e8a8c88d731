export {
  type MachineFormat,
  type MachineReading,
  type ReadingWarning,
  type ReadOptions,
  type Unknown,
  UNKNOWN_KINDS,
  type UnknownKind,
} from './machine-reading.ts';
export type { MachineReader } from './machine-reader.ts';
export { readMachine, readMachineFile } from './read-machine.ts';
export { SourceBytes } from './source-bytes.ts';
export { unknownsOf } from './unknowns.ts';
