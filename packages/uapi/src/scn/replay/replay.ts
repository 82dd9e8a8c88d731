import type { Scenario } from '../language/scenario.ts';
import { compareResults } from '../results/compare.ts';
import { type Recording, scenarioOf } from '../results/read-results.ts';
import type { ScenarioResult } from '../results/scenario-result.ts';
import { isOutOfScope } from '../run/check-scenario.ts';
import { type RunOptions, runScenarios } from '../run/run-scenarios.ts';
import { explain, type Mismatch } from './explain.ts';
import { profileOf } from './profile-of.ts';
import { makeReport, type ReplayReport, type ReportedDifference } from './report.ts';

/**
 * Runs scenarios and compares every answer with the recorded ones.
 * @param scenarios those of the recording itself when left out
 * @throws ScnError before anything runs when a scenario is malformed
 */
export async function replay(
  recording: Recording,
  options: RunOptions,
  scenarios: readonly Scenario[] = recording.results.map((result) => scenarioOf(result, recording.file)),
): Promise<ReplayReport> {
  const recorded = new Map(recording.results.map((result) => [result.id, result]));
  const inScope = scenarios.filter((scenario) => !isOutOfScope(scenario));
  const results = await runScenarios(inScope, options);
  const mismatches: Mismatch[] = [];
  for (const [index, scenario] of inScope.entries()) {
    const got = results[index]!;
    const expected = recorded.get(scenario.id) ?? notRecorded(scenario.id);
    if (compareResults(expected, got).length > 0) mismatches.push({ scenario, expected, got });
  }
  const profile = profileOf(recording.kernel);
  const reasons =
    profile === undefined || profile === options.kernel
      ? new Map<string, string>()
      : await explain(mismatches, options, profile);
  const differences = mismatches.flatMap(({ expected, got }) =>
    compareResults(expected, got).map((difference): ReportedDifference => {
      const documentedAs = reasons.get(difference.id);
      return documentedAs === undefined ? difference : { ...difference, documentedAs };
    }),
  );
  const outOfScope = scenarios.length - inScope.length;
  return makeReport({ kernel: recording.kernel, profile: options.kernel, outOfScope }, inScope, differences);
}

/** What a scenario is compared with that nobody has recorded: every step differs. */
function notRecorded(id: string): ScenarioResult {
  return { id, steps: [], died: '', kmsg: [], skipped: '' };
}
