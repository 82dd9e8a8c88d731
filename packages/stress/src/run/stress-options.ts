import type { Scenario } from '../scenario/scenario.ts';
import type { StressMachine } from './plan-stress.ts';

/** How the load is getting on. */
export interface StressProgress {
  readonly phase: 'starting' | 'running' | 'stopping';
  readonly elapsedMs: number;
  readonly durationMs: number;
  readonly ops: number;
  /** 0 without a limit. */
  readonly opsLimit: number;
  /** Since the last report. */
  readonly opsPerSecond: number;
  readonly bytes: number;
  readonly revokes: number;
  readonly revokeP99Ns: number;
  /** Fault records, expected ones included. */
  readonly faults: number;
  readonly violations: number;
  readonly kills: number;
}

/** A stress run. */
export interface StressOptions {
  readonly scenario: Scenario;
  /** The machine, when it is not the built-in one that the scenario names. */
  readonly machine?: StressMachine;
  /** Command that runs this again; made from the scenario when left out. */
  readonly repro?: string;
  /** Records events to this file. */
  readonly traceFile?: string;
  /** Single behaviours to switch on beside the kernel profile, by name. */
  readonly quirks?: readonly string[];
  /** Called a few times a second. */
  readonly onProgress?: (progress: StressProgress) => void;
}
