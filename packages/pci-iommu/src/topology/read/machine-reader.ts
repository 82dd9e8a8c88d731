import type { MachineReading, ReadOptions } from './machine-reading.ts';
import type { SourceBytes } from './source-bytes.ts';

/** One way to read a machine. */
export interface MachineReader {
  /** Whether the source looks like what this reader reads, told by its start. */
  recognises(source: SourceBytes): boolean;
  /** @throws TopologyError when the source cannot be read or contradicts itself */
  read(source: SourceBytes, options: ReadOptions): MachineReading;
}
