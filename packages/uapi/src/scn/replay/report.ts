import type { KernelProfile } from '@dmabuf-emu/shm';
import type { Scenario } from '../language/scenario.ts';
import type { Difference } from '../results/compare.ts';

/** A difference, and the quirks that separate the emulated kernel from the recorded one in it. */
export interface ReportedDifference extends Difference {
  /** Names of quirks, joined by ` + `; left out where no quirk accounts for it. */
  readonly documentedAs?: string;
}

/** How the emulator's answers compare with a recorded kernel's. Numbers count scenarios. */
export interface ReplayReport {
  readonly schema: 'dmabuf-emu/scn@1';
  /** Release of the recorded kernel. */
  readonly kernel: string;
  /** Kernel that was emulated. */
  readonly profile: KernelProfile;
  readonly total: number;
  readonly same: number;
  /** Differ only in what quirks account for. */
  readonly documented: number;
  readonly different: number;
  /** Of subsystems that are not emulated. */
  readonly outOfScope: number;
  readonly differences: readonly ReportedDifference[];
}

/** Makes the report of what was compared. */
export function makeReport(
  head: { readonly kernel: string; readonly profile: KernelProfile; readonly outOfScope: number },
  scenarios: readonly Scenario[],
  differences: readonly ReportedDifference[],
): ReplayReport {
  const open = new Set(differences.filter(({ documentedAs }) => documentedAs === undefined).map(({ id }) => id));
  const any = new Set(differences.map(({ id }) => id));
  return {
    schema: 'dmabuf-emu/scn@1',
    kernel: head.kernel,
    profile: head.profile,
    total: scenarios.length + head.outOfScope,
    same: scenarios.length - any.size,
    documented: any.size - open.size,
    different: open.size,
    outOfScope: head.outOfScope,
    differences,
  };
}
