import { describe, expect, test } from 'vitest';
import { Topology, type TopologyFunction } from '../topology/index.ts';
import {
  INTEL,
  NODE,
  testBar,
  testBridge,
  testFunction,
  testHostBridge,
  testMachine,
  twoRootMachine,
} from '../topology/test-machine.ts';
import { P2pdma, P2pMapType } from './index.ts';

function setup(): {
  p2pdma: P2pdma;
  redirecting: Set<string>;
  a: TopologyFunction;
  b: TopologyFunction;
  c: TopologyFunction;
} {
  const topology = new Topology(twoRootMachine({ cpu: INTEL }));
  const redirecting = new Set<string>();
  const p2pdma = new P2pdma(topology, { acs: { redirects: (fn) => redirecting.has(fn.bdf) } });
  const [a, b, c] = [NODE.A0, NODE.B, NODE.C].map((bdf) => topology.function(bdf));
  if (a === undefined || b === undefined || c === undefined) throw new Error('unreachable');
  return { p2pdma, redirecting, a, b, c };
}

describe('providers (drivers §2.2)', () => {
  const OFFSET = -0x10_0000_0000;
  const topology = new Topology(
    testMachine(
      [
        testFunction('0000:00:02.0', 'endpoint', {
          bars: [
            testBar(0x10_0000_0000, 0x10_0000),
            testBar(0xe000_0000, 0x1000, { index: 2, kind: 'mem32' }),
            testBar(0x1000, 0x100, { index: 3, kind: 'io', prefetchable: false }),
          ],
        }),
        testFunction('0000:00:03.0', 'endpoint', { bars: [testBar(0x10_0010_0000, 0x1000)], nonMappableBars: true }),
      ],
      {
        hostBridges: [
          testHostBridge(0, {
            windows: [
              { start: 0x10_0000_0000, end: 0x1f_ffff_ffff, busOffset: OFFSET },
              { start: 0xe000_0000, end: 0xefff_ffff, busOffset: 0 },
            ],
          }),
        ],
      },
    ),
  );
  const gpu = topology.function('00:02.0');
  const odd = topology.function('00:03.0');

  test('have the bus offset of the window of their BAR', () => {
    const p2pdma = new P2pdma(topology);
    expect(p2pdma.init(gpu)).toBeNull();
    const provider = p2pdma.provider(gpu, 0);
    expect(provider).toMatchObject({ owner: gpu, busOffset: OFFSET });
    expect((provider?.bar.start ?? 0) + (provider?.busOffset ?? 0)).toBe(
      topology.busAddress(gpu.hostBridge, 0x10_0000_0000),
    );
    expect(p2pdma.provider(gpu, 2)?.busOffset).toBe(0);
  });

  test('init again changes nothing', () => {
    const p2pdma = new P2pdma(topology);
    p2pdma.init(gpu);
    const provider = p2pdma.provider(gpu, 0);
    expect(p2pdma.init(gpu)).toBeNull();
    expect(p2pdma.provider(gpu, 0)).toBe(provider);
  });

  test('there is none for I/O BARs, for the upper half of a BAR, for BARs that do not exist', () => {
    const warnings: string[] = [];
    const p2pdma = new P2pdma(topology, { warn: (message) => warnings.push(message) });
    p2pdma.init(gpu);
    expect([1, 3, 4, 5, 6].map((bar) => p2pdma.provider(gpu, bar))).toEqual([null, null, null, null, null]);
    expect(warnings).toEqual([]);
  });

  test('before init there is none, with a warning', () => {
    const warnings: string[] = [];
    const p2pdma = new P2pdma(topology, { warn: (message) => warnings.push(message) });
    expect(p2pdma.provider(gpu, 0)).toBeNull();
    expect(warnings).toEqual(['p2pdma: provider of 0000:00:02.0 BAR 0 asked for before init']);
  });

  test('BARs that cannot be mapped are refused at init and have no provider', () => {
    const warnings: string[] = [];
    const p2pdma = new P2pdma(topology, { warn: (message) => warnings.push(message) });
    expect(p2pdma.init(odd)).toBe('EOPNOTSUPP');
    expect(p2pdma.isInitialised(odd)).toBe(false);
    expect(p2pdma.provider(odd, 0)).toBeNull();
    expect(warnings).toEqual([]);
  });

  test('release takes them away', () => {
    const p2pdma = new P2pdma(topology);
    p2pdma.init(gpu);
    p2pdma.release(gpu);
    expect(p2pdma.isInitialised(gpu)).toBe(false);
    expect(p2pdma.mapType(gpu, odd)).toBe(P2pMapType.NOT_SUPPORTED);
  });
});

describe('remembered answers (drivers §2.3)', () => {
  test('a provider that was not initialised supports nobody', () => {
    const { p2pdma, a, b } = setup();
    expect(p2pdma.mapType(a, b)).toBe(P2pMapType.NOT_SUPPORTED);
  });

  test('a client that is not on PCI is not supported', () => {
    const { p2pdma, a } = setup();
    p2pdma.init(a);
    expect(p2pdma.mapType(a, null)).toBe(P2pMapType.NOT_SUPPORTED);
  });

  test('the first answer outlives ACS changes, per provider and client', () => {
    const { p2pdma, redirecting, a, b, c } = setup();
    for (const fn of [a, b, c]) p2pdma.init(fn);
    expect(p2pdma.mapType(a, b)).toBe(P2pMapType.BUS_ADDR);
    redirecting.add(NODE.D0);
    expect(p2pdma.mapType(a, b)).toBe(P2pMapType.BUS_ADDR);
    expect(p2pdma.mapType(b, a)).toBe(P2pMapType.NOT_SUPPORTED);
    redirecting.clear();
    expect(p2pdma.mapType(b, a)).toBe(P2pMapType.NOT_SUPPORTED);
  });

  test('they are forgotten when the driver lets go', () => {
    const { p2pdma, redirecting, a, b } = setup();
    p2pdma.init(a);
    expect(p2pdma.mapType(a, b)).toBe(P2pMapType.BUS_ADDR);
    redirecting.add(NODE.D0);
    p2pdma.release(a);
    p2pdma.init(a);
    expect(p2pdma.mapType(a, b)).toBe(P2pMapType.NOT_SUPPORTED);
  });

  test('same bus numbers in two domains are two clients', () => {
    const topology = new Topology(
      testMachine(
        ['0000', '0001'].flatMap((domain) => [
          testBridge(`${domain}:00:01.0`, 'root-port', [1, 1]),
          testFunction(`${domain}:01:00.0`, 'endpoint'),
          testFunction(`${domain}:01:00.1`, 'endpoint'),
        ]),
        { cpu: INTEL, hostBridges: [testHostBridge(0), testHostBridge(0, { domain: 1 })] },
      ),
    );
    const p2pdma = new P2pdma(topology);
    const provider = topology.function('0000:01:00.0');
    p2pdma.init(provider);
    expect(p2pdma.mapType(provider, topology.function('0000:01:00.1'))).toBe(P2pMapType.BUS_ADDR);
    expect(p2pdma.mapType(provider, topology.function('0001:01:00.1'))).toBe(P2pMapType.NOT_SUPPORTED);
  });
});

describe('distance to several clients (drivers §2.4)', () => {
  test('is the sum', () => {
    const { p2pdma, a, b } = setup();
    expect(p2pdma.distanceMany(a, [b])).toBe(4);
    expect(p2pdma.distanceMany(a, [a, b, b])).toBe(8);
  });

  test('is -1 without clients, with one that is not on PCI, with one that cannot reach', () => {
    const { p2pdma, a, b, c } = setup();
    expect(p2pdma.distanceMany(a, [])).toBe(-1);
    expect(p2pdma.distanceMany(a, [b, null])).toBe(-1);
    expect(p2pdma.distanceMany(a, [b, c])).toBe(-1);
  });

  test('calculates anew and overwrites the remembered answer', () => {
    const { p2pdma, redirecting, a, b } = setup();
    p2pdma.init(a);
    expect(p2pdma.mapType(a, b)).toBe(P2pMapType.BUS_ADDR);
    redirecting.add(NODE.D0);
    expect(p2pdma.distanceMany(a, [b])).toBe(-1);
    expect(p2pdma.mapType(a, b)).toBe(P2pMapType.NOT_SUPPORTED);
    redirecting.clear();
    expect(p2pdma.distanceMany(a, [b])).toBe(4);
    expect(p2pdma.mapType(a, b)).toBe(P2pMapType.BUS_ADDR);
  });

  test('needs no init of the provider', () => {
    const { p2pdma, a, b } = setup();
    expect(p2pdma.distanceMany(a, [b])).toBe(4);
    expect(p2pdma.mapType(a, b)).toBe(P2pMapType.NOT_SUPPORTED);
  });
});
