import { gunzipSync } from 'node:zlib';
import type { Scenario } from '../language/scenario.ts';
import { ScnError } from '../language/scn-error.ts';
import { readJson, type ResultValue } from './json-text.ts';
import type { ScenarioResult, StepResult } from './scenario-result.ts';

/** What a kernel answered to a set of scenarios. */
export interface Recording {
  /** Release of the kernel, such as 7.3.4; '' when the file does not say. */
  readonly kernel: string;
  readonly file: string;
  readonly results: readonly ScenarioResult[];
}

type Members = Readonly<Record<string, ResultValue>>;

/** Reads a results file, gzip or plain. @throws ScnError with the line and what was expected */
export function readResults(bytes: Uint8Array, file: string): Recording {
  const plain = bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes;
  let kernel = '';
  const results: ScenarioResult[] = [];
  for (const [index, line] of Buffer.from(plain).toString('utf8').split('\n').entries()) {
    if (line.trim() === '') continue;
    const fail = (text: string): never => {
      throw new ScnError(file, index + 1, text);
    };
    const members = parseLine(line, fail);
    if (typeof members['kernel'] === 'string' && members['id'] === undefined) kernel = members['kernel'];
    else if (members['schema'] === undefined) results.push(readScenario(members, fail));
  }
  return { kernel, file, results };
}

/** The scenario that a recorded result answers. */
export function scenarioOf({ id, steps, skipped }: ScenarioResult, file: string): Scenario {
  return { id, file, needs: skipped, steps: steps.map(({ step }) => step) };
}

function parseLine(line: string, fail: (text: string) => never): Members {
  let value: ResultValue;
  try {
    value = readJson(line);
  } catch (error) {
    return fail(`expected a JSON object, got ${(error as Error).message}`);
  }
  return isMembers(value) ? value : fail('expected a JSON object');
}

function readScenario(members: Members, fail: (text: string) => never): ScenarioResult {
  const { id, steps = [], died = '', kmsg = [], skipped = '' } = members;
  if (typeof id !== 'string') return fail('expected a member "id" with the name of a scenario');
  if (!Array.isArray(steps)) return fail(`expected "steps" of ${id} to be a list`);
  return {
    id,
    steps: steps.map((step: ResultValue) => readStep(step, fail)),
    died: textOf(died),
    kmsg: Array.isArray(kmsg) ? kmsg.map(textOf) : [],
    skipped: textOf(skipped),
  };
}

function readStep(value: ResultValue, fail: (text: string) => never): StepResult {
  const { op, as = '', bg = false, args = {}, ...answer } = isMembers(value) ? value : {};
  if (typeof op !== 'string') return fail('expected a member "op" in every step');
  if (!isMembers(args)) return fail(`expected "args" of ${op} to be an object`);
  const pairs = Object.entries(args).map(([key, text]) => [key, textOf(text)] as const);
  return { step: { op, as: textOf(as), background: bg === true, args: pairs, line: 0 }, answer };
}

function textOf(value: ResultValue): string {
  return typeof value === 'string' ? value : '';
}

function isMembers(value: ResultValue): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
