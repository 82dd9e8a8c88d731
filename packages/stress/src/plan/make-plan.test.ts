import { builtinMachine, P2pMapType, Topology } from '@dmabuf-emu/pci-iommu';
import { liveP2pdma } from '#dist/plan/live-p2pdma.js';
import { DEFAULT_SCENARIO, InputError, parseImporters, planStress, type Scenario } from '@dmabuf-emu/stress';
import { describe, expect, test } from 'vitest';

const scenario = (changes: Partial<Scenario> = {}): Scenario => ({ ...DEFAULT_SCENARIO, ...changes });

describe('default scenario', () => {
  const { plan } = planStress(scenario());

  test('uses a GPU, a NIC, and a function of its own for each importer', () => {
    const topology = new Topology(builtinMachine('genoa-4gpu'));
    const [vfio, rdma] = plan.controllers;
    expect(topology.function(vfio!.bdf).classCode! >>> 16).toBe(0x03);
    expect(topology.function(rdma!.bdf).classCode! >>> 16).toBe(0x02);
    const used = [...plan.controllers, ...plan.engines].map(({ bdf }) => bdf);
    expect(new Set(used).size).toBe(used.length);
  });

  test('has both ways of addressing a peer', () => {
    const topology = new Topology(builtinMachine('genoa-4gpu'));
    const p2p = liveP2pdma(topology, 'direct');
    const ways = plan.controllers.flatMap((controller) => {
      const provider = topology.function(controller.bdf);
      p2p.init(provider);
      return plan.engines.map(({ bdf }) => p2p.mapType(provider, topology.function(bdf)));
    });
    expect(new Set(ways)).toEqual(new Set([P2pMapType.BUS_ADDR, P2pMapType.THRU_HOST_BRIDGE]));
  });

  test('buffers of a region do not overlap', () => {
    for (const { buffers } of plan.controllers) {
      const sorted = buffers.toSorted((a, b) => a.offset - b.offset);
      const room = sorted.slice(1).map((next, i) => {
        const { offset, pages, ranges } = sorted[i]!;
        return next.offset - offset - (pages + ranges - 1) * 4096;
      });
      expect(Math.min(...room)).toBeGreaterThanOrEqual(0);
    }
  });

  test('the pages of a shared buffer are divided among those that may use it', () => {
    const slices = plan.engines.flatMap(({ kind, uses }) =>
      uses.filter(({ buffer }) => buffer.name === 'vfio/shared0').map(({ slice }) => ({ kind, ...slice })),
    );
    expect(slices.filter(({ count }) => count > 0).map(({ index }) => index)).toEqual([0, 1, 2, 3, 4]);
    expect(slices.filter(({ count }) => count === 0).map(({ kind }) => kind)).toEqual(['pinned', 'static']);
  });

  test('is a pure function of its arguments', () => {
    expect(planStress(scenario()).plan).toEqual(plan);
  });
});

test.each(['genoa-4gpu', 'wrx80-2gpu', 'aurora-8ve'])('%s can run one importer', (machine) => {
  const { plan } = planStress(scenario({ machine, importers: parseImporters('odp=1') }));
  expect(plan.engines).toHaveLength(1);
});

describe('more than the machine has', () => {
  test('peer-to-peer: behind switches that redirect to a host bridge that does not forward, nobody reaches anybody', () => {
    const lonely = scenario({ machine: 'microtca-2switch', acs: 'redirect', importers: parseImporters('odp=1') });
    expect(() => planStress(lonely)).toThrow(
      /machine microtca-2switch: importers: expected at most 0 importers, got 1/,
    );
  });

  test('importers', () => {
    const greedy = scenario({ importers: parseImporters('odp=60') });
    expect(() => planStress(greedy)).toThrow(InputError);
    expect(() => planStress(greedy)).toThrow(/machine genoa-4gpu: importers: expected at most \d+ importers, got 60/);
  });

  test('memory', () => {
    const big = scenario({
      machine: 'microtca-2switch',
      importers: parseImporters('odp=1'),
      exporters: [{ kind: 'rdma', shared: 8, own: true, pages: 8192 }],
    });
    expect(() => planStress(big)).toThrow(
      'machine microtca-2switch: exporters.rdma: the buffers take 73737 pages of a BAR, but the largest BAR has 65536',
    );
  });

  test('an unknown machine', () => {
    expect(() => planStress(scenario({ machine: 'cray-1' }))).toThrow(/^machine: .*cray-1/);
  });
});

test('a rogue without a kind gets one from the seed', () => {
  const kinds = Array.from({ length: 30 }, (_, seed) => {
    const { plan } = planStress(scenario({ seed, importers: parseImporters('rogue=1') }));
    return plan.engines[0]!.rogue;
  });
  expect(new Set(kinds).size).toBeGreaterThan(4);
});
