import type { KernelProfile } from '@dmabuf-emu/shm';

/** Name of the document that a scenario file holds. */
export const SCENARIO_SCHEMA = 'dmabuf-emu/scenario@1';

export const EXPORTER_KINDS = ['vfio', 'rdma', 'heap'] as const;
export type ExporterKind = (typeof EXPORTER_KINDS)[number];

export const IMPORTER_KINDS = ['odp', 'revocable-pinned', 'pinned', 'iommufd', 'gpu', 'static', 'rogue'] as const;
export type ImporterKind = (typeof IMPORTER_KINDS)[number];

/** The rule that a rogue importer breaks. */
export const ROGUE_KINDS = [
  'ignores-invalidate',
  'unmaps-late',
  'never-unmaps',
  'writes-after-fence',
  'uses-stale-address',
  'double-unmap',
  'skips-lock',
  'never-signals',
  'signals-twice',
] as const;
export type RogueKind = (typeof ROGUE_KINDS)[number];

/**
 * What switches do with requests between devices below them: send them up to the root (as the kernel sets it up for
 * isolation), or let them pass directly where they can.
 */
export const ACS_MODES = ['redirect', 'direct'] as const;
export type AcsMode = (typeof ACS_MODES)[number];

/** What can be made to happen at random. All are events a second but `alloc`, which is a probability. */
export const FAULT_KINDS = ['revoke', 'd3', 'flr', 'reset', 'close', 'destroy', 'remove', 'kill', 'alloc'] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** Buffers that one exporter offers. */
export interface ExporterPlan {
  readonly kind: ExporterKind;
  /** Buffers that every importer uses. */
  readonly shared: number;
  /** Whether each importer also has a buffer of its own. */
  readonly own: boolean;
  /** Pages of 4 KiB in a buffer. */
  readonly pages: number;
}

/** How many engines of one kind run. */
export interface ImporterCount {
  readonly kind: ImporterKind;
  readonly count: number;
}

export type FaultRates = Readonly<Record<FaultKind, number>>;

/** A stress run, complete: nothing is left to defaults. */
export interface Scenario {
  readonly name: string;
  /** Name of a built-in machine. */
  readonly machine: string;
  readonly acs: AcsMode;
  readonly kernel: KernelProfile;
  readonly seed: number;
  /** Milliseconds of load; ignored when `ops` is given. */
  readonly durationMs: number;
  /** Steps of importer engines to run instead of a duration. */
  readonly ops: number | undefined;
  readonly exporters: readonly ExporterPlan[];
  readonly importers: readonly ImporterCount[];
  /** Importer engines in all; the list of importers is repeated or cut to this number. */
  readonly threads: number | undefined;
  /** The rule that rogue importers break; chosen by the seed when undefined. */
  readonly rogue: RogueKind | undefined;
  readonly faults: FaultRates;
}

/** The kinds of the engines, one entry an engine, in order. */
export function engineKinds({ importers, threads }: Pick<Scenario, 'importers' | 'threads'>): ImporterKind[] {
  const listed = importers.flatMap(({ kind, count }) => Array.from({ length: count }, () => kind));
  if (threads === undefined || listed.length === 0) return listed;
  const rogues = listed.filter((kind) => kind === 'rogue');
  const others = listed.filter((kind) => kind !== 'rogue');
  const turn = [...rogues, ...others];
  return Array.from({ length: threads }, (_, i) => turn[i % turn.length]!);
}
