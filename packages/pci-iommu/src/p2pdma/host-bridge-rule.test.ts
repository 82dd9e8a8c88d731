import { describe, expect, test } from 'vitest';
import { Topology } from '../topology/index.ts';
import { INTEL, NODE, testBridge, testFunction, testMachine, twoRootMachine } from '../topology/test-machine.ts';
import {
  calcMapTypeAndDistance,
  cpuSupportsP2P,
  HOST_BRIDGE_WHITELIST,
  hostBridgeDevice,
  hostBridgeWhitelisted,
  P2pMapType,
} from './index.ts';

describe('processors that forward between host bridges (drivers §2.5)', () => {
  test.each([
    ['AMD', 0x17, true],
    ['AMD', 0x19, true],
    ['AMD', 0x1a, true],
    ['AMD', 0x15, false],
    ['AMD', null, false],
    ['Hygon', 0x18, false],
    ['Intel', 6, false],
    ['ARM', null, false],
  ])('%s family %s: %s', (vendor, family, expected) => {
    expect(cpuSupportsP2P({ vendor, family })).toBe(expected);
  });
});

describe('the list of host bridges', () => {
  const SAME_ONLY = 0x2f00;
  const FREE = 0x2030;
  const UNLISTED = 0x4c43;
  const whitelisted = (roots: readonly [number, number], client: 'C' | 'D', provider: 'A0' | 'D' = 'A0'): boolean => {
    const topology = new Topology(twoRootMachine({ cpu: INTEL, roots }));
    return hostBridgeWhitelisted(topology, topology.function(NODE[provider]), topology.function(NODE[client]));
  };

  test.each<[string, readonly [number, number], 'C' | 'D', boolean]>([
    ['same bridge, listed', [FREE, UNLISTED], 'C', true],
    ['same bridge, listed for itself only', [SAME_ONLY, UNLISTED], 'C', true],
    ['same bridge, not listed', [UNLISTED, FREE], 'C', false],
    ['two bridges, both listed', [FREE, FREE], 'D', true],
    ['two bridges, the provider for itself only', [SAME_ONLY, FREE], 'D', false],
    ['two bridges, the client for itself only', [FREE, SAME_ONLY], 'D', false],
    ['two bridges, one not listed', [FREE, UNLISTED], 'D', false],
    ['two bridges, none listed', [UNLISTED, UNLISTED], 'D', false],
  ])('%s', (_what, roots, client, expected) => {
    expect(whitelisted(roots, client)).toBe(expected);
  });

  test.each<[readonly [number, number], 'C' | 'D', keyof typeof P2pMapType]>([
    [[SAME_ONLY, SAME_ONLY], 'C', 'THRU_HOST_BRIDGE'],
    [[SAME_ONLY, SAME_ONLY], 'D', 'NOT_SUPPORTED'],
    [[FREE, FREE], 'D', 'THRU_HOST_BRIDGE'],
  ])('roots %o, client %s: %s, six hops', (roots, client, expected) => {
    const topology = new Topology(twoRootMachine({ cpu: INTEL, roots }));
    const result = calcMapTypeAndDistance(topology, topology.function(NODE.A0), topology.function(NODE[client]));
    expect(result).toEqual({ mapType: P2pMapType[expected], distance: 6 });
  });

  test('holds the rows of the kernel', () => {
    const ids = (vendor: number): readonly (number | null)[] =>
      HOST_BRIDGE_WHITELIST.filter((row) => row.vendor === vendor).map((row) => row.device);
    expect(ids(0x8086)).toHaveLength(20);
    expect(ids(0x1ae0)).toEqual([null]);
    expect(ids(0x10de)).toEqual([0x2f95, 0x2f96, 0x2f97, 0x2f98]);
    expect(HOST_BRIDGE_WHITELIST.filter((row) => row.sameHostBridge).map((row) => row.device)).toEqual([
      0x3c00, 0x3c01, 0x2f00, 0x2f01,
    ]);
  });

  test('the first row that fits decides, also when it says no', () => {
    const topology = new Topology(twoRootMachine({ cpu: INTEL, roots: [FREE, FREE] }));
    const [a, d] = [topology.function(NODE.A0), topology.function(NODE.D)];
    const rows = [
      { vendor: 0x8086, device: FREE, sameHostBridge: true },
      { vendor: 0x8086, device: null, sameHostBridge: false },
    ];
    expect(hostBridgeWhitelisted(topology, a, d, rows)).toBe(false);
    expect(hostBridgeWhitelisted(topology, a, d, rows.toReversed())).toBe(true);
  });
});

describe('the device by which a host bridge is recognised', () => {
  const deviceOf = (topology: Topology): string | undefined => {
    const [bridge] = topology.hostBridges;
    return bridge === undefined ? undefined : hostBridgeDevice(topology, bridge)?.bdf;
  };

  test('is the first function on the root bus when it is 00.0, whatever it is', () => {
    expect(
      deviceOf(
        new Topology(testMachine([testFunction('0000:00:00.0', 'rciep'), testFunction('0000:00:01.0', 'rciep')])),
      ),
    ).toBe('0000:00:00.0');
  });

  test('or when it is a root port', () => {
    expect(deviceOf(new Topology(testMachine([testBridge('0000:00:02.0', 'root-port', [1, 1])])))).toBe('0000:00:02.0');
    const typed = testFunction('0000:00:02.0', 'host-bridge', { pcieType: 4 });
    expect(deviceOf(new Topology(testMachine([typed])))).toBe('0000:00:02.0');
  });

  test('otherwise there is none, also when a root port follows', () => {
    expect(
      deviceOf(
        new Topology(
          testMachine([testFunction('0000:00:01.0', 'rciep'), testBridge('0000:00:02.0', 'root-port', [1, 1])]),
        ),
      ),
    ).toBeUndefined();
    expect(deviceOf(new Topology(testMachine([])))).toBeUndefined();
  });
});
