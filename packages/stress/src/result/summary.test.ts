import {
  formatBytes,
  formatCount,
  formatDuration,
  formatNs,
  formatSummary,
  type StressResult,
} from '@dmabuf-emu/stress';
import { describe, expect, test } from 'vitest';

const clean: StressResult = {
  schema: 'dmabuf-emu/stress@1',
  exitCode: 0,
  scenario: 'default',
  seed: 42,
  kernel: '7.1',
  notes: [],
  machine: 'genoa-4gpu',
  exporters: [{ kind: 'vfio', bdf: '0000:01:00.0', buffers: 5, triggers: { command: 190, flr: 18 } }],
  importers: [
    {
      kind: 'odp',
      name: 'odp0',
      bdf: '0000:21:00.1',
      steps: 41_000,
      bytesWritten: 5 << 20,
      bytesRead: 9 << 20,
      maps: 900,
      revoked: 33,
      starts: 2,
    },
  ],
  threads: 1,
  durationMs: 10_000,
  ops: { total: 41_000, map: 900, revoke: 208 },
  bytes: 14 << 20,
  iotlb: { hits: 990, misses: 10 },
  faults: { 'iommu-fault': 7 },
  latencyNs: {
    revoke: { count: 208, p50: 121_000, p99: 1_210_000, max: 4_500_000 },
    map: { count: 900, p50: 8100, p99: 52_000, max: 910_000 },
    fenceWake: { count: 0, p50: 0, p99: 0, max: 0 },
  },
  refusals: [{ exporter: 'vfio', importer: 'pinned', errno: 'EOPNOTSUPP', step: 'vfio_pci_dma_buf_attach', count: 3 }],
  casualties: [{ name: 'odp0', task: 4, atMs: 2100, doing: 'working', lostLocks: ['dma_resv'] }],
  violations: [],
  leaks: {},
  verify: {
    ok: true,
    errors: [],
    leaks: [],
    damage: ['dma_buf: buffer vfio-pci#3 is beyond use'],
    counts: { dma_buf: 1 },
  },
  hangs: [],
  repro: 'npx dmabuf-emu stress --seed 42',
};

describe('summary', () => {
  test('of a clean run', () => {
    expect(formatSummary(clean)).toMatchInlineSnapshot(`
      "
      dmabuf-emu stress: default, seed 42  CLEAN

      machine     genoa-4gpu, kernel 7.1
      ran         10.0 s, 1 exporter with 5 buffers, 1 importer thread (started 2 times)
      exporters   vfio  0000:01:00.0  command 190, flr 18
      importers   name  function       steps  maps  revoked   written      read
                  odp0  0000:21:00.1  41,000   900       33  5.00 MiB  9.00 MiB
      throughput  4,100 steps/s, 1.40 MiB/s by DMA, 90 maps/s, 21 revokes/s
      latency                     p50      p99      max  samples
                  revoke       121 µs  1.21 ms  4.50 ms      208
                  map         8.10 µs  52.0 µs   910 µs      900
                  fence wake        -        -        -        0
      IOTLB       99.0 % hits of 1,000 look-ups
      faults      iommu-fault 7 (contained accesses of iommufd importers to revoked memory)
      refusals    vfio refused pinned  EOPNOTSUPP  vfio_pci_dma_buf_attach  3 x
      casualties  odp0 (task 4) at 2.1 s: working, took dma_resv to its grave
      leaks       none
      violations  none
      verify      ok, 1 objects looked at
                  damage: dma_buf: buffer vfio-pci#3 is beyond use
      repro       npx dmabuf-emu stress --seed 42
      "
    `);
  });

  test('names rule, importer, buffer and step of a violation', () => {
    const text = formatSummary({
      ...clean,
      exitCode: 1,
      violations: [
        {
          rule: 'write-after-fence',
          text: 'wrote',
          importer: 'rogue0',
          buffer: 'vfio/shared0 (vfio-pci#3)',
          step: 'dma write',
          count: 3,
        },
      ],
      leaks: { sg_table: 2 },
    });
    expect(text).toContain('VIOLATION');
    expect(text).toContain(
      'write-after-fence (3 x): importer rogue0, buffer vfio/shared0 (vfio-pci#3), step dma write',
    );
    expect(text).toContain('leaks       sg_table 2');
  });

  test('of a hang says who waits for what and who holds it', () => {
    const text = formatSummary({
      ...clean,
      exitCode: 3,
      hangs: [
        { role: 'vfio', task: 2, stalledMs: 5050, doing: 'flr', waitingFor: 'dma_resv', heldBy: 'odp0 (task 4)' },
      ],
    });
    expect(text).toContain('HANG');
    expect(text).toContain('vfio (task 2) without progress for 5.0 s: flr; waits for dma_resv, held by odp0 (task 4)');
  });

  test('long lists are cut', () => {
    const violations = Array.from({ length: 40 }, (_, i) => ({ rule: `rule-${i}`, text: 'x', count: 1 }));
    expect(formatSummary({ ...clean, exitCode: 1, violations })).toContain('and 28 more');
  });
});

test('quantities', () => {
  expect([0, 999, 1000, 1234567].map(formatCount)).toEqual(['0', '999', '1,000', '1,234,567']);
  expect([0, 1023, 1024, 1536, 123 << 20].map(formatBytes)).toEqual([
    '0 B',
    '1023 B',
    '1.00 KiB',
    '1.50 KiB',
    '123 MiB',
  ]);
  expect([0, 999, 1500, 12_300, 4.5e6, 2.1e9].map(formatNs)).toEqual([
    '0 ns',
    '999 ns',
    '1.50 µs',
    '12.3 µs',
    '4.50 ms',
    '2.10 s',
  ]);
  expect([12, 999, 10_000, 125_000].map(formatDuration)).toEqual(['12 ms', '999 ms', '10.0 s', '2m 5s']);
});
