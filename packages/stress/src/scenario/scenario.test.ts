import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  DEFAULT_FAULTS,
  DEFAULT_SCENARIO,
  InputError,
  engineKinds,
  parseDuration,
  parseExporters,
  parseFaults,
  parseImporters,
  parseScenario,
  planStress,
  readScenarioFile,
  reproLine,
} from '@dmabuf-emu/stress';
import { describe, expect, test } from 'vitest';

const examples = fileURLToPath(new URL('../../examples/', import.meta.url));

function problemsOf(text: string, source = 'bad.yaml'): string[] {
  try {
    parseScenario(text, source);
  } catch (error) {
    if (error instanceof InputError) return error.message.split('\n');
    throw error;
  }
  return [];
}

describe('examples', () => {
  test.each(readdirSync(examples))('%s parses and fits its machine', (file) => {
    const scenario = readScenarioFile(examples + file);
    expect(planStress(scenario).plan.engines.length).toBe(engineKinds(scenario).length);
  });

  test('default.yaml is the default scenario', () => {
    const { importers, ...rest } = readScenarioFile(`${examples}default.yaml`);
    expect({ ...rest, importers: importers.toSorted(byKind) }).toEqual({
      ...DEFAULT_SCENARIO,
      importers: DEFAULT_SCENARIO.importers.toSorted(byKind),
    });
  });
});

const byKind = (a: { kind: string }, b: { kind: string }): number => a.kind.localeCompare(b.kind);

describe('schema errors name file, line, field and what was expected', () => {
  test('unknown fields, with a suggestion', () => {
    expect(problemsOf('name: x\nimportres: { odp: 1 }\n')).toEqual([
      expect.stringMatching(
        /^bad\.yaml: line 2: importres: unknown field, expected one of .* \(did you mean importers\?\)$/,
      ),
    ]);
    expect(problemsOf('importers:\n  odp: 1\n  gpuu: 2\n')[0]).toContain('line 3: importers.gpuu: unknown field');
    expect(problemsOf('faults: { revok: 1 }')[0]).toContain('(did you mean revoke?)');
  });

  test('wrong values', () => {
    expect(problemsOf('seed: -1')).toEqual([
      'bad.yaml: line 1: seed: expected a whole number from 0 to 4294967295, got -1',
    ]);
    expect(problemsOf('duration: soon')[0]).toContain('expected a duration such as 10s, 500ms or 2m');
    expect(problemsOf('kernel: "2.4"')[0]).toContain('expected a kernel in quotes (7.1,');
    expect(problemsOf('kernel: 7.1')[0]).toContain('got 7.1');
    expect(problemsOf('faults: { alloc: 200% }')[0]).toContain('expected a probability such as 1% or 0.01, got "200%"');
    expect(problemsOf('faults: { flr: often }')[0]).toContain('expected a rate such as 5/s');
    expect(problemsOf('exporters: [vfio, gpu]')[0]).toContain(
      'line 1: exporters[1]: expected an exporter (vfio, rdma, heap)',
    );
    expect(problemsOf('exporters: { vfio: { pages: 0 } }')[0]).toContain(
      'exporters.vfio.pages: expected a whole number',
    );
    expect(problemsOf('importers: 3')[0]).toContain('importers: expected an object with odp,');
    expect(problemsOf('importers: { odp: 0 }')[0]).toContain('expected at least one importer');
    expect(problemsOf('exporters: []')[0]).toContain('expected at least one exporter');
    expect(problemsOf('rogue: nice')[0]).toContain('expected a rogue kind (ignores-invalidate,');
    expect(problemsOf('schema: other@1')[0]).toContain('dmabuf-emu/scenario@1');
  });

  test('all problems at once', () => {
    expect(problemsOf('seed: x\nops: 0\nthreads: 1000\n')).toHaveLength(3);
  });

  test('what is no object at all', () => {
    expect(problemsOf('- 1\n- 2\n')[0]).toMatch(/^bad\.yaml: expected an object/);
    expect(problemsOf('')).toEqual([]);
  });

  test('what does not parse', () => {
    expect(problemsOf('a: b: c')[0]).toMatch(/^bad\.yaml: line 1: /);
    expect(problemsOf('seed: 1\nseed: 2\n')[0]).toContain('line 2');
    expect(problemsOf('{ "seed": 1,\n}', 'bad.json')[0]).toMatch(/^bad\.json: line 2: not JSON: /);
    expect(() => readScenarioFile('/nowhere/x.yaml')).toThrow('/nowhere/x.yaml: cannot be read');
  });

  test('a YAML bomb is not expanded', () => {
    const bomb = `a: &a [x, x]\nb: &b [*a, *a]\nname: [*b, *b]\n`;
    expect(() => parseScenario(bomb, 'bomb.yaml')).toThrow();
  });
});

describe('option values', () => {
  test('durations', () => {
    expect(['10s', '500ms', '2m', '3', '1.5s'].map(parseDuration)).toEqual([10_000, 500, 120_000, 3000, 1500]);
    for (const bad of ['', '0', '-1s', '10 s', 'x', '25h']) expect(() => parseDuration(bad)).toThrow('a duration');
  });

  test('importers', () => {
    expect(parseImporters('odp=2,gpu')).toEqual([
      { kind: 'odp', count: 2 },
      { kind: 'gpu', count: 1 },
    ]);
    expect(() => parseImporters('odq=2')).toThrow('did you mean odp?');
    expect(() => parseImporters('odp=two')).toThrow('expected a whole number');
    expect(() => parseImporters('odp,,gpu')).toThrow('separated by commas');
  });

  test('exporters', () => {
    expect(parseExporters('both')).toEqual(['vfio', 'rdma']);
    expect(parseExporters('rdma')).toEqual(['rdma']);
    expect(parseExporters('heap')).toEqual(['heap']);
    expect(() => parseExporters('drm')).toThrow('an exporter (or both) (vfio, rdma, heap)');
  });

  test('faults go on top of the defaults', () => {
    expect(parseFaults('revoke=50/s,alloc=1%,flr=30/m')).toEqual({
      ...DEFAULT_FAULTS,
      revoke: 50,
      alloc: 0.01,
      flr: 0.5,
    });
    expect(parseFaults('none,kill=2')).toMatchObject({ revoke: 0, destroy: 0, kill: 2 });
    expect(() => parseFaults('kill')).toThrow('expected a rate behind kill');
    expect(() => parseFaults('sleep=1')).toThrow('expected a fault (revoke,');
  });

  test('threads repeat or cut the list of importers', () => {
    const importers = parseImporters('odp=2,gpu=1');
    expect(engineKinds({ importers, threads: undefined })).toEqual(['odp', 'odp', 'gpu']);
    expect(engineKinds({ importers, threads: 2 })).toEqual(['odp', 'odp']);
    expect(engineKinds({ importers, threads: 5 })).toEqual(['odp', 'odp', 'gpu', 'odp', 'odp']);
    expect(engineKinds({ importers: parseImporters('odp=2,rogue=1'), threads: 1 })).toEqual(['rogue']);
  });
});

describe('the line that runs it again', () => {
  test('says what differs from the default, and always the seed', () => {
    expect(reproLine(DEFAULT_SCENARIO)).toBe('npx dmabuf-emu stress --seed 1');
    const changed = {
      ...DEFAULT_SCENARIO,
      seed: 9,
      durationMs: 2500,
      threads: 3,
      exporters: DEFAULT_SCENARIO.exporters.slice(0, 1),
      importers: parseImporters('odp=2'),
      faults: parseFaults('kill=2/s,alloc=1%'),
    };
    expect(reproLine(changed)).toBe(
      'npx dmabuf-emu stress --exporter vfio --importers odp=2 --threads 3 --duration 2500ms --faults kill=2/s,alloc=0.01 --seed 9',
    );
  });

  test('says what differs from the scenario file', () => {
    const scenario = readScenarioFile(`${examples}rogue.yaml`);
    expect(reproLine({ ...scenario, ops: 5 }, { scenario, scenarioFile: "it's.yaml", machineFile: 'a b.txt' })).toBe(
      `npx dmabuf-emu stress --scenario 'it'\\''s.yaml' --machine 'a b.txt' --ops 5 --seed 1`,
    );
  });
});
