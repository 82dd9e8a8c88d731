import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import {
  compareResults,
  parseScn,
  readResults,
  resultLine,
  scenarioOf,
  type ScenarioResult,
  type Step,
} from '@dmabuf-emu/uapi';
import { describe, expect, test } from 'vitest';
import { fixtures, recordings } from '../fixtures.fixture.ts';

describe.each(recordings)('the recording %s', (name) => {
  const bytes = readFileSync(new URL(name, fixtures));
  const recording = readResults(bytes, name);

  test('is written again byte by byte', () => {
    const lines = gunzipSync(bytes).toString('utf8').trimEnd().split('\n').slice(1);
    expect(recording.results.map(resultLine)).toEqual(lines);
  });

  test('answers each scenario exactly as the scenario files expand', () => {
    const files = ['dmabuf', 'heap', 'implicit', 'prime', 'syncfile', 'syncobj', 'udmabuf', 'smoke', 'vfio', 'iommufd'];
    const parsed = new Map(
      [...files, 'iommufd_test']
        .flatMap((file) => parseScn(readFileSync(new URL(`${file}.scn`, fixtures), 'latin1'), `${file}.scn`))
        .map((scenario) => [scenario.id, scenario]),
    );
    expect(parsed.size).toBe(842);
    for (const result of recording.results) {
      if (result.skipped !== '' || result.died !== '') continue;
      const strip = (steps: readonly Step[]): unknown => steps.map((step) => ({ ...step, line: 0 }));
      expect(strip(parsed.get(result.id)!.steps)).toEqual(strip(scenarioOf(result, name).steps));
    }
  });
});

test.each([
  ['{"id":"a","steps":[{"op":"x","ret":0}', 1, 'expected a JSON object'],
  ['\n{"steps":[]}', 2, 'expected a member "id"'],
  ['{"id":"a","steps":1}', 1, 'expected "steps" of a to be a list'],
  ['{"id":"a","steps":[{"ret":0}]}', 1, 'expected a member "op" in every step'],
])('%j is refused', (text, line, message) => {
  expect(() => readResults(Buffer.from(text), 'r.jsonl')).toThrow(message);
  expect(() => readResults(Buffer.from(text), 'r.jsonl')).toThrow(`r.jsonl: line ${line}: `);
});

describe('compare', () => {
  const one = (line: string): ScenarioResult => readResults(Buffer.from(line), 'r').results[0]!;

  test('numbers beyond 2^53 are exact', () => {
    const [a, b] = [18446744073709551615n, 18446744073709551614n].map((ns) =>
      one(`{"id":"a","steps":[{"op":"x","ret":0,"ns":${ns}}]}`),
    );
    expect(compareResults(a!, a!)).toEqual([]);
    expect(compareResults(a!, b!)).toMatchObject([{ id: 'a', step: 0, op: 'x' }]);
  });

  test('of an IOVA that the kernel chose only the alignment counts', () => {
    const at = (iova: string): ScenarioResult => one(`{"id":"a","steps":[{"op":"x","ret":0,"iova_auto":"${iova}"}]}`);
    expect(compareResults(at('0x3000'), at('0x701000'))).toEqual([]);
    expect(compareResults(at('0x3000'), at('0x4000'))).toHaveLength(1);
  });

  test('steps that are missing, other steps, other ends and new kernel messages differ', () => {
    const base = one('{"id":"a","steps":[{"op":"x","ret":0}]}');
    const differ = (line: string): unknown => compareResults(base, one(line)).map(({ step, op }) => [step, op]);
    expect(differ('{"id":"a","steps":[]}')).toEqual([[0, 'x']]);
    expect(differ('{"id":"a","steps":[{"op":"y","ret":0}]}')).toEqual([[0, 'x']]);
    expect(differ('{"id":"a","steps":[{"op":"x","args":{"k":"1"},"ret":0}]}')).toEqual([[0, 'x']]);
    expect(differ('{"id":"a","steps":[{"op":"x","ret":0}],"died":"timeout"}')).toEqual([[-1, 'scenario']]);
    expect(differ('{"id":"a","steps":[{"op":"x","ret":0}],"kmsg":["oops"]}')).toEqual([[-1, 'kmsg']]);
  });
});
