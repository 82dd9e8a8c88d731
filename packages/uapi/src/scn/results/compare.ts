import type { Step } from '../language/scenario.ts';
import { type ResultValue, writeJson } from './json-text.ts';
import type { Answer, ScenarioResult } from './scenario-result.ts';

/** One point in which a scenario's answers differ from the recorded ones. */
export interface Difference {
  readonly id: string;
  /** Index of the step, from 0; -1 for what concerns the whole scenario. */
  readonly step: number;
  readonly op: string;
  readonly expected: Answer;
  readonly got: Answer;
}

/** Compares answers with the recorded ones, step by step. What a kernel does not repeat itself is left out. */
export function compareResults(expected: ScenarioResult, got: ScenarioResult): Difference[] {
  const { id } = expected;
  const differences: Difference[] = [];
  const count = Math.max(expected.steps.length, got.steps.length);
  for (let index = 0; index < count; index++) {
    const [want, have] = [expected.steps[index], got.steps[index]];
    const wanted = want?.answer ?? { missing: true };
    const had = have?.answer ?? { missing: true };
    if (want !== undefined && have !== undefined && sameStep(want.step, have.step) && sameAnswer(wanted, had)) continue;
    differences.push({ id, step: index, op: (want ?? have)!.step.op, expected: wanted, got: had });
  }
  const [whole, mine] = [wholeOf(expected), wholeOf(got)];
  if (writeJson(whole) !== writeJson(mine)) {
    differences.push({ id, step: -1, op: 'scenario', expected: whole, got: mine });
  }
  // The kernel's words about memory that ran out, or about hardware, are not the emulator's; its silence is.
  if (got.kmsg.length > 0 && expected.kmsg.length === 0) {
    differences.push({ id, step: -1, op: 'kmsg', expected: { kmsg: [] }, got: { kmsg: got.kmsg } });
  }
  return differences;
}

function sameStep(a: Step, b: Step): boolean {
  return a.op === b.op && a.as === b.as && a.background === b.background && String(a.args) === String(b.args);
}

function sameAnswer(expected: Answer, got: Answer): boolean {
  return writeJson(comparable(expected)) === writeJson(comparable(got));
}

/** An IOVA that the kernel chose depends on the address of the memory: its alignment remains. */
function comparable(answer: Answer): ResultValue {
  const { iova_auto: iova } = answer;
  if (typeof iova !== 'string') return answer;
  const value = BigInt(iova);
  return { ...answer, iova_auto: String(value & -value) };
}

function wholeOf({ died, skipped }: ScenarioResult): Answer {
  return { ...(died === '' ? {} : { died }), ...(skipped === '' ? {} : { skipped }) };
}
