import type { ExporterKind, ImporterKind, RogueKind } from '../scenario/scenario.ts';

/** Pages between two buffers of a region, so that an access past the end hits nobody's data. */
export const GUARD_PAGES = 1;

/** One buffer of a run. */
export interface BufferPlan {
  /** Position on the board. */
  readonly index: number;
  /** For reports: `vfio/shared0`, `rdma/odp0`. */
  readonly name: string;
  readonly exporter: ExporterKind;
  /** Where it begins in the exporter's region. */
  readonly offset: number;
  readonly pages: number;
  /** Ranges that it is made of; 1 where an importer needs it contiguous. */
  readonly ranges: number;
}

/** A thread that plays one exporter's user: exports, revokes, resets. */
export interface ControllerPlan {
  readonly role: number;
  readonly name: string;
  readonly kind: ExporterKind;
  /** The exporter's function; `null` for exporters of system memory. */
  readonly bdf: string | null;
  /** BAR that the buffers are in; -1 for system memory. */
  readonly region: number;
  /** A device that is attached to the exporter's buffers to see that it cannot map what is revoked. */
  readonly witness: string;
  readonly buffers: readonly BufferPlan[];
}

/** A buffer as one engine uses it. */
export interface UsePlan {
  readonly buffer: BufferPlan;
  /** Whether the exporter must let it in: it is of a kind that the exporter accepts, on a function that reaches the memory. */
  readonly welcome: boolean;
  /** Pages `p` with `p % count === index` are its own; `count` 0: it will be refused anyway. */
  readonly slice: { readonly index: number; readonly count: number };
}

/** A thread that plays an importing device. */
export interface EnginePlan {
  readonly role: number;
  readonly name: string;
  readonly kind: ImporterKind;
  readonly bdf: string;
  readonly rogue?: RogueKind;
  readonly uses: readonly UsePlan[];
}

/** Who does what, on which function of the machine. */
export interface RunPlan {
  readonly controllers: readonly ControllerPlan[];
  readonly engines: readonly EnginePlan[];
  readonly buffers: readonly BufferPlan[];
  /** What is not as the scenario would have it because of the machine, a sentence each. */
  readonly notes: readonly string[];
}

/** Whether an exporter accepts an importer of this kind. */
export function accepts(exporter: ExporterKind, importer: ImporterKind): boolean {
  switch (importer) {
    case 'odp':
    case 'gpu':
    case 'rogue':
      return true;
    case 'revocable-pinned':
      return exporter !== 'rdma';
    case 'iommufd':
      return exporter === 'vfio';
    case 'pinned':
    case 'static':
      return exporter === 'heap';
  }
}
