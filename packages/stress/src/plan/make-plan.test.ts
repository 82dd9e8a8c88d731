import {
  builtinMachine,
  type FunctionDescription,
  MACHINE_SCHEMA,
  type MachineDescription,
  P2pMapType,
  parseMachineDescription,
  Topology,
} from '@dmabuf-emu/pci-iommu';
import { liveP2pdma } from '#dist/plan/live-p2pdma.js';
import { DEFAULT_SCENARIO, InputError, parseImporters, planStress, type Scenario } from '@dmabuf-emu/stress';
import { describe, expect, test } from 'vitest';

const scenario = (changes: Partial<Scenario> = {}): Scenario => ({ ...DEFAULT_SCENARIO, ...changes });

describe('default scenario', () => {
  const { plan } = planStress(scenario());

  test('uses a GPU, a NIC, and a function of its own for each importer', () => {
    const topology = new Topology(builtinMachine('genoa-4gpu'));
    const [vfio, rdma] = plan.controllers;
    expect(topology.function(vfio!.bdf!).classCode! >>> 16).toBe(0x03);
    expect(topology.function(rdma!.bdf!).classCode! >>> 16).toBe(0x02);
    const used = [...plan.controllers, ...plan.engines].map(({ bdf }) => bdf);
    expect(new Set(used).size).toBe(used.length);
  });

  test('has both ways of addressing a peer', () => {
    const topology = new Topology(builtinMachine('genoa-4gpu'));
    const p2p = liveP2pdma(topology, 'direct');
    const ways = plan.controllers.flatMap((controller) => {
      const provider = topology.function(controller.bdf!);
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

describe('less than the default scenario wants', () => {
  test('behind switches that redirect to a host bridge that does not forward, nobody reaches anybody: system memory is added', () => {
    const { plan } = planStress(scenario({ machine: 'microtca-2switch', acs: 'redirect' }));
    expect(plan.controllers.map(({ kind, bdf }) => [kind, bdf !== null])).toEqual([
      ['vfio', true],
      ['rdma', true],
      ['heap', false],
    ]);
    const welcome = (exporter: string) =>
      plan.engines
        .filter(({ uses }) => uses.some((use) => use.buffer.exporter === exporter && use.welcome))
        .map(({ kind }) => kind);
    expect(welcome('vfio')).toEqual(['iommufd']);
    expect(welcome('rdma')).toEqual([]);
    expect(welcome('heap')).toEqual(['odp', 'gpu', 'gpu', 'revocable-pinned', 'pinned', 'static']);
    expect(plan.notes.join('\n')).toMatch(/odp0, gpu0, gpu1, revocable-pinned0 cannot reach .* by peer-to-peer DMA/);
  });

  test('on a desktop engines share functions, but iommufd has its own', () => {
    const { plan } = planStress(scenario(), { description: desktop() });
    const on = (bdf: string) => plan.engines.filter((engine) => engine.bdf === bdf).map(({ kind }) => kind);
    expect(on(plan.engines.find(({ kind }) => kind === 'iommufd')!.bdf)).toEqual(['iommufd']);
    expect(new Set(plan.engines.map(({ bdf }) => bdf)).size).toBeLessThan(plan.engines.length);
    expect(plan.notes.some((note) => note.includes(' share '))).toBe(true);
  });

  test('importers that were asked for share nothing', () => {
    expect(() => planStress(scenario({ importers: parseImporters('odp=5') }), { description: desktop() })).toThrow(
      /machine desktop: importers: expected at most 2 importers, got 5/,
    );
  });
});

/** A graphics card with sound, a network card and a disk behind root ports. */
function desktop(): MachineDescription {
  const facts = { vendor: 0x8086, device: 1, bars: [], acs: null, flr: false, pm: true };
  const port = (bdf: string, bus: number): FunctionDescription => {
    const start = 0xe000_0000 + bus * 0x200_0000;
    const windows = [{ kind: 'mem', start, end: start + 0x1ff_ffff }] as const;
    return { ...facts, bdf, class: 0x06_0400, kind: 'root-port', secondary: bus, subordinate: bus, windows };
  };
  const device = (bdf: string, classCode: number, bus: number, at = 0): FunctionDescription => {
    const start = 0xe000_0000 + bus * 0x200_0000 + at;
    const bar = { index: 0, start, size: 0x100_0000, kind: 'mem32', prefetchable: false } as const;
    return { ...facts, bdf, class: classCode, kind: 'endpoint', bars: [bar] };
  };
  return parseMachineDescription({
    schema: MACHINE_SCHEMA,
    name: 'desktop',
    title: 'desktop',
    cpu: { vendor: 'Intel', family: 6 },
    hostBridges: [{ domain: 0, bus: 0, windows: [{ start: 0xe000_0000, end: 0xefff_ffff, busOffset: 0 }] }],
    functions: [
      port('0000:00:01.0', 1),
      port('0000:00:01.1', 2),
      port('0000:00:01.2', 3),
      device('0000:01:00.0', 0x03_0000, 1),
      device('0000:01:00.1', 0x04_0300, 1, 0x100_0000),
      device('0000:02:00.0', 0x02_0000, 2),
      device('0000:03:00.0', 0x01_0802, 3),
    ],
  });
}

test('a rogue without a kind gets one from the seed', () => {
  const kinds = Array.from({ length: 30 }, (_, seed) => {
    const { plan } = planStress(scenario({ seed, importers: parseImporters('rogue=1') }));
    return plan.engines[0]!.rogue;
  });
  expect(new Set(kinds).size).toBeGreaterThan(4);
});
