import type { VerifyReport } from '@dmabuf-emu/shm';
import type { ExporterKind, ImporterKind, RogueKind } from '../scenario/scenario.ts';

/** Name of the document that a run results in. */
export const RESULT_SCHEMA = 'dmabuf-emu/stress@1';

/** How a run ended, as the process's exit code. */
export const EXIT_CLEAN = 0;
export const EXIT_VIOLATION = 1;
export const EXIT_BAD_INPUT = 2;
export const EXIT_HANG = 3;
export type ExitCode = 0 | 1 | 2 | 3;

/** What an exporter's user did. */
export interface ExporterResult {
  readonly kind: ExporterKind;
  /** `null` for exporters of system memory. */
  readonly bdf: string | null;
  readonly buffers: number;
  /** What it did, by trigger. */
  readonly triggers: Readonly<Record<string, number>>;
}

/** What one importer did. */
export interface ImporterResult {
  readonly kind: ImporterKind;
  readonly name: string;
  readonly bdf: string;
  readonly rogue?: RogueKind;
  readonly steps: number;
  readonly bytesWritten: number;
  readonly bytesRead: number;
  readonly maps: number;
  /** Steps that found the buffer revoked. */
  readonly revoked: number;
  /** Threads that played it: more than one when it was killed. */
  readonly starts: number;
}

/** Nanoseconds. */
export interface LatencyResult {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Somebody broke a rule. Equal ones are counted together. */
export interface ViolationResult {
  readonly rule: string;
  readonly text: string;
  readonly importer?: string;
  readonly buffer?: string;
  readonly step?: string;
  readonly count: number;
}

/** An exporter said no, as it must. */
export interface RefusalResult {
  readonly exporter: string;
  readonly importer: ImporterKind;
  readonly errno: string;
  readonly step: string;
  readonly count: number;
}

/** A thread that was killed on purpose. */
export interface CasualtyResult {
  readonly name: string;
  readonly task: number;
  /** Milliseconds after the start of the load. */
  readonly atMs: number;
  /** What it was doing. */
  readonly doing: string;
  /** Locks that it took to its grave. */
  readonly lostLocks: readonly string[];
}

/** A role that got nowhere, for hang reports. */
export interface HangResult {
  readonly role: string;
  readonly task: number;
  readonly stalledMs: number;
  readonly doing: string;
  readonly waitingFor: string;
  readonly heldBy: string;
}

/** Result of a stress run. */
export interface StressResult {
  readonly schema: typeof RESULT_SCHEMA;
  readonly exitCode: ExitCode;
  readonly scenario: string;
  readonly seed: number;
  readonly kernel: string;
  readonly machine: string;
  /** What is not as the scenario would have it because of the machine: assumed, shared, left out. */
  readonly notes: readonly string[];
  readonly exporters: readonly ExporterResult[];
  readonly importers: readonly ImporterResult[];
  /** Importer threads. */
  readonly threads: number;
  /** Length of the load, without start and tear-down. */
  readonly durationMs: number;
  readonly ops: Readonly<Record<string, number>>;
  /** Bytes moved by DMA, written and read. */
  readonly bytes: number;
  readonly iotlb: { readonly hits: number; readonly misses: number };
  /** Fault records by kind, and how many allocations were made to fail. */
  readonly faults: Readonly<Record<string, number>>;
  readonly latencyNs: {
    readonly revoke: LatencyResult;
    readonly map: LatencyResult;
    readonly fenceWake: LatencyResult;
  };
  readonly refusals: readonly RefusalResult[];
  readonly casualties: readonly CasualtyResult[];
  readonly violations: readonly ViolationResult[];
  /** Objects that were not given back, by kind; empty when there are none. */
  readonly leaks: Readonly<Record<string, number>>;
  readonly verify: VerifyReport;
  readonly hangs: readonly HangResult[];
  /** Command that runs the same again. */
  readonly repro: string;
}
