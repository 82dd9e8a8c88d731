import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { builtinMachine } from '@dmabuf-emu/pci-iommu';
import {
  DEFAULT_SCENARIO,
  parseFaults,
  parseImporters,
  ROGUE_KINDS,
  runStress,
  type Scenario,
  type StressProgress,
  type StressResult,
} from '@dmabuf-emu/stress';
import { readTraceFile } from '@dmabuf-emu/trace';
import { describe, expect, test } from 'vitest';

const RUN_MS = 60_000;

function scenario(changes: Partial<Scenario> = {}): Scenario {
  return { ...DEFAULT_SCENARIO, durationMs: 2000, ...changes };
}

/** What is wrong with a result that should be clean: empty when nothing is. */
function faultsOf({ exitCode, violations, leaks, verify, hangs }: StressResult): unknown {
  return exitCode === 0 ? [] : { exitCode, violations, leaks, errors: verify.errors, hangs };
}

describe('a clean run', () => {
  test(
    'moves data with every importer that may, fires every trigger, refuses whom it must',
    async () => {
      const seen: StressProgress[] = [];
      const result = await runStress({
        scenario: scenario({ seed: 11, durationMs: 3000 }),
        onProgress: (progress) => seen.push(progress),
      });
      expect(faultsOf(result)).toEqual([]);
      const idle = result.importers.filter(({ bytesWritten, bytesRead }) => Math.min(bytesWritten, bytesRead) === 0);
      expect(idle.map(({ name, steps }) => `${name} ${steps}`)).toEqual(['pinned0 0', 'static0 0']);
      const [vfio, rdma] = result.exporters;
      expect(Object.keys(vfio!.triggers).toSorted()).toEqual(['close', 'command', 'd3', 'flr', 'reset']);
      expect(Object.keys(rdma!.triggers).toSorted()).toEqual(['destroy', 'remove']);
      const refused = new Set(
        result.refusals.map(({ exporter, importer, errno }) => `${exporter} ${importer} ${errno}`),
      );
      expect([...refused].toSorted()).toEqual([
        'rdma iommufd EOPNOTSUPP',
        'rdma pinned EOPNOTSUPP',
        'rdma revocable-pinned EOPNOTSUPP',
        'rdma static EOPNOTSUPP',
        'vfio pinned EOPNOTSUPP',
        'vfio static EOPNOTSUPP',
      ]);
      const { revoke, map } = result.latencyNs;
      for (const latency of [revoke, map]) {
        expect(latency.count).toBeGreaterThan(0);
        expect(latency.p50).toBeGreaterThan(0);
        expect(latency.p99).toBeLessThanOrEqual(latency.max);
      }
      expect(result.iotlb.hits).toBeGreaterThan(result.iotlb.misses);
      expect(result.bytes).toBe(result.importers.reduce((sum, i) => sum + i.bytesRead + i.bytesWritten, 0));
      expect(seen.some(({ phase, ops }) => phase === 'running' && ops > 0)).toBe(true);
    },
    RUN_MS,
  );

  test(
    'leaves out what the device has no register for',
    async () => {
      const whole = builtinMachine('genoa-4gpu');
      const bare = whole.functions.map((fn) =>
        (fn.class ?? 0) >>> 16 === 0x03 ? { ...fn, pcieType: null, pm: false, flr: false } : fn,
      );
      const result = await runStress({
        scenario: scenario({ seed: 18 }),
        machine: { description: { ...whole, functions: bare } },
      });
      expect(faultsOf(result)).toEqual([]);
      expect(Object.keys(result.exporters[0]!.triggers).toSorted()).toEqual(['close', 'command']);
    },
    RUN_MS,
  );

  test(
    'of a number of steps',
    async () => {
      const result = await runStress({
        scenario: scenario({ seed: 12, ops: 300, importers: parseImporters('odp=1,gpu=1') }),
      });
      expect(faultsOf(result)).toEqual([]);
      expect(result.ops['total']).toBeGreaterThanOrEqual(300);
      expect(result.ops['total']).toBeLessThan(330);
    },
    RUN_MS,
  );

  test(
    'on a machine with switches, with one exporter, writes a trace',
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'stress-'));
      try {
        const traceFile = join(folder, 'run.trace');
        const result = await runStress({
          scenario: scenario({
            seed: 13,
            durationMs: 1000,
            machine: 'aurora-8ve',
            importers: parseImporters('odp=1,iommufd=1'),
            exporters: DEFAULT_SCENARIO.exporters.slice(0, 1),
          }),
          traceFile,
        });
        expect(faultsOf(result)).toEqual([]);
        const trace = await readTraceFile(traceFile);
        expect(trace.meta).toMatchObject({ seed: 13, machine: 'aurora-8ve' });
        expect(trace.tasks.map(({ name }) => name)).toEqual(
          expect.arrayContaining(['main', 'vfio', 'odp0', 'iommufd0']),
        );
        const names = new Set(trace.events.map(({ name }) => name));
        expect([...names]).toEqual(expect.arrayContaining(['stress.command:begin', 'dma_buf_revoke', 'dma.write']));
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
    RUN_MS,
  );
});

test(
  'allocations that fail do no harm',
  async () => {
    const result = await runStress({ scenario: scenario({ seed: 21, faults: parseFaults('alloc=3%') }) });
    expect(faultsOf(result)).toEqual([]);
    expect(result.faults['allocation']).toBeGreaterThan(0);
    expect(result.ops['nomem']).toBeGreaterThan(0);
  },
  RUN_MS,
);

test(
  'threads that are killed are listed, replaced and cleaned up after',
  async () => {
    const result = await runStress({
      scenario: scenario({ seed: 31, durationMs: 3000, faults: parseFaults('kill=5/s') }),
    });
    expect(faultsOf(result)).toEqual([]);
    expect(result.casualties.length).toBeGreaterThan(0);
    for (const { name, task, doing } of result.casualties) {
      expect(result.importers.find((importer) => importer.name === name)!.starts).toBeGreaterThan(1);
      expect(task).toBeGreaterThan(0);
      expect(doing).not.toBe('');
    }
  },
  RUN_MS,
);

test(
  'a kernel that waits for ever: exit code 3, and who waits for what',
  async () => {
    const result = await runStress({
      scenario: scenario({
        seed: 51,
        importers: parseImporters('odp=1'),
        exporters: DEFAULT_SCENARIO.exporters.slice(0, 1),
        faults: parseFaults('none,revoke=5/s,close=20/s'),
      }),
      quirks: ['vfio.krefUnderflow'],
    });
    expect(result.exitCode).toBe(3);
    expect(result.verify.ok).toBe(false);
    const [hang] = result.hangs;
    expect(hang).toMatchObject({ role: 'vfio', doing: expect.stringMatching(/^close|closing$/) });
    expect(hang!.stalledMs).toBeGreaterThanOrEqual(5000);
    expect(hang!.waitingFor).not.toBe('');
  },
  RUN_MS,
);

describe('a rogue is caught and named', () => {
  const rules: Readonly<Record<string, RegExp>> = {
    'ignores-invalidate': /^(write-after-fence|use-after-revoke|unmap-bound)$/,
    'unmaps-late': /^unmap-bound$/,
    'never-unmaps': /^unmap-bound$/,
    'writes-after-fence': /^write-after-fence$/,
    'uses-stale-address': /^(iommu-fault|stale-iotlb-hit|use-after-revoke)$/,
    'double-unmap': /^double-unmap$/,
    'skips-lock': /^resv-not-held$/,
    'never-signals': /^fence-bound$/,
    'signals-twice': /^fence-signalled-twice$/,
  };

  test.each(ROGUE_KINDS)(
    '%s',
    async (rogue) => {
      const wanted = scenario({ seed: 41, importers: parseImporters('odp=1,gpu=1,rogue=1'), rogue });
      let result = await runStress({ scenario: wanted });
      // Two seconds are enough where the threads get a processor; five must be anywhere.
      if (result.exitCode === 0) result = await runStress({ scenario: { ...wanted, durationMs: 5000 } });
      expect(result.exitCode).toBe(1);
      const caught = result.violations.filter(({ rule }) => rules[rogue]!.test(rule));
      expect(caught).toContainEqual({
        rule: expect.any(String),
        text: expect.any(String),
        importer: expect.stringContaining('rogue'),
        buffer: expect.stringMatching(/^(vfio|rdma)\/(shared0|rogue0)$/),
        step: expect.any(String),
        count: expect.any(Number),
      });
      expect(result.importers.find(({ kind }) => kind === 'rogue')!.rogue).toBe(rogue);
    },
    RUN_MS,
  );
});
