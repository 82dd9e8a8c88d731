import type { TopologyFunction } from '../../topology/index.ts';
import type { RegisterImage } from './register-image.ts';

/** One capability of a function: where it stands. */
export interface CapabilityPlace {
  readonly id: number;
  readonly at: number;
  /** In the extended part, from 0x100 on. */
  readonly extended: boolean;
}

/** How one kind of capability is laid out. */
export interface CapabilityRules {
  readonly id: number;
  readonly extended: boolean;
  /** Where it stands when no dump told. */
  readonly at: number;
  /** Version of an extended capability. */
  readonly version?: number;
  /** Whether the description says that the function has it. */
  wanted(fn: TopologyFunction): boolean;
  /** Bytes that it takes when it is made up. */
  length(fn: TopologyFunction): number;
  /** Fills a capability of which no dump is known, header apart. */
  fresh(image: RegisterImage, at: number, fn: TopologyFunction): void;
  /** What the description says of it, whatever a dump said; and which of its bits can be written. */
  apply(image: RegisterImage, at: number, fn: TopologyFunction): void;
}
