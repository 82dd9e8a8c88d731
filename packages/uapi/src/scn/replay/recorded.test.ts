import { readFileSync } from 'node:fs';
import { isOutOfScope, readResults, replay, type Recording, scenarioOf } from '@dmabuf-emu/uapi';
import { expect, test } from 'vitest';
import { fixtures } from '../fixtures.fixture.ts';

const LIMIT_MS = 300_000;

function recording(name: string): Recording {
  return readResults(readFileSync(new URL(name, fixtures)), name);
}

test.each([
  ['7.3', 'linux-7.3.4.jsonl.gz'],
  ['6.12', 'linux-6.12.107.jsonl.gz'],
] as const)(
  'under %s every answer is the one that %s has',
  async (kernel, name) => {
    const recorded = recording(name);
    const scenarios = recorded.results.map((result) => scenarioOf(result, recorded.file));
    const inScope = scenarios.filter((scenario) => !isOutOfScope(scenario)).length;
    const report = await replay(recorded, { kernel, quirks: [], jobs: 2 });
    expect(report.differences).toEqual([]);
    expect(report).toMatchObject({
      kernel: recorded.kernel,
      profile: kernel,
      same: inScope,
      documented: 0,
      different: 0,
    });
    expect(report).toMatchObject({ total: 698, outOfScope: 698 - inScope });
    expect(inScope).toBeGreaterThan(550);
  },
  LIMIT_MS,
);

test(
  'random scenarios are answered as Linux 7.3.4 answered them',
  async () => {
    const recorded = recording('random-linux-7.3.4.jsonl.gz');
    const report = await replay(recorded, { kernel: '7.3', quirks: [], jobs: 2 });
    expect(report.differences).toEqual([]);
    expect(report).toMatchObject({ total: 2400, same: 2400, outOfScope: 0 });
  },
  LIMIT_MS,
);

test(
  'under 7.1 only what quirks document differs from Linux 7.3.4',
  async () => {
    const report = await replay(recording('linux-7.3.4.jsonl.gz'), { kernel: '7.1', quirks: [], jobs: 2 });
    expect(report.differences.filter(({ documentedAs }) => documentedAs === undefined)).toEqual([]);
    const reasons = new Map(report.differences.map(({ id, documentedAs }) => [id, documentedAs]));
    expect(new Set(reasons.values())).toEqual(
      new Set(['drm.noChangeHandle', 'drm.shmemMmapLosesOffset', 'heap.reservedAlias', 'udmabuf.noSizeLimit']),
    );
    expect(report.documented).toBe(reasons.size);
  },
  LIMIT_MS,
);
