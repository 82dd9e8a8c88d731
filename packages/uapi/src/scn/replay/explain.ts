import type { KernelProfile } from '@dmabuf-emu/shm';
import { quirksBetween } from '../../all-quirks.ts';
import type { Scenario } from '../language/scenario.ts';
import { compareResults } from '../results/compare.ts';
import type { ScenarioResult } from '../results/scenario-result.ts';
import { type RunOptions, runScenarios } from '../run/run-scenarios.ts';

/** A scenario whose answers differ. */
export interface Mismatch {
  readonly scenario: Scenario;
  readonly expected: ScenarioResult;
  readonly got: ScenarioResult;
}

/**
 * Finds the quirks between two kernels that account for differences: by switching each on alone where it is missing, until
 * the answers are those of the kernel that has it.
 * @returns by id, the quirks that account for all differences of a scenario
 */
export async function explain(
  mismatches: readonly Mismatch[],
  emulated: RunOptions,
  recorded: KernelProfile,
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const { onlyA, onlyB } = quirksBetween(emulated.kernel, recorded);
  const trials = [
    ...onlyB.map((quirk) => ({ quirk, kernel: emulated.kernel, like: 'expected' as const })),
    ...onlyA.map((quirk) => ({ quirk, kernel: recorded, like: 'got' as const })),
  ];
  for (const { quirk, kernel, like } of trials) {
    const quirks = [...emulated.quirks, quirk];
    await attempt(mismatches, found, { ...emulated, kernel, quirks }, (one) => one[like], quirk);
  }
  // Several at once: the recorded kernel's own profile has all of them.
  const all = [...onlyA, ...onlyB].join(' + ');
  const profile = { ...emulated, kernel: recorded, quirks: emulated.quirks };
  if (all !== '') await attempt(mismatches, found, profile, ({ expected }) => expected, all);
  return found;
}

async function attempt(
  mismatches: readonly Mismatch[],
  found: Map<string, string>,
  options: RunOptions,
  wanted: (one: Mismatch) => ScenarioResult,
  name: string,
): Promise<void> {
  const open = mismatches.filter(({ scenario }) => !found.has(scenario.id));
  if (open.length === 0) return;
  const results = await runScenarios(
    open.map(({ scenario }) => scenario),
    { ...options, onResult: () => {} },
  );
  for (const [index, one] of open.entries()) {
    if (compareResults(wanted(one), results[index]!).length === 0) found.set(one.scenario.id, name);
  }
}
