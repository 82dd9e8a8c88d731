import { describe, expect, test } from 'vitest';
import { type AcsKnowledge, Topology } from '../topology/index.ts';
import {
  INTEL,
  NODE,
  type NodeName,
  REDIRECT,
  testBridge,
  testFunction,
  testMachine,
  type TwoRootOptions,
  twoRootMachine,
} from '../topology/test-machine.ts';
import { calcMapTypeAndDistance, P2pMapType, p2pMapTypeName } from './index.ts';

type Verdict = readonly [keyof typeof P2pMapType, number];

function verdict(options: TwoRootOptions, provider: NodeName, client: NodeName): Verdict {
  const topology = new Topology(twoRootMachine(options));
  const result = calcMapTypeAndDistance(topology, topology.function(NODE[provider]), topology.function(NODE[client]));
  return [p2pMapTypeName(result.mapType), result.distance];
}

describe('map type and distance between two functions (drivers §15.3)', () => {
  const RR = REDIRECT;
  test.each<[NodeName, NodeName, Partial<Record<NodeName, AcsKnowledge>>, Verdict, Verdict]>([
    ['A0', 'A0', {}, ['BUS_ADDR', 0], ['BUS_ADDR', 0]],
    ['A0', 'A0', { A0: RR }, ['THRU_HOST_BRIDGE', 0], ['NOT_SUPPORTED', 0]],
    ['A0', 'A1', {}, ['BUS_ADDR', 2], ['BUS_ADDR', 2]],
    ['A0', 'A1', { D0: RR }, ['THRU_HOST_BRIDGE', 2], ['NOT_SUPPORTED', 2]],
    ['A0', 'A1', { U0: RR, RP0: RR, D1: RR }, ['BUS_ADDR', 2], ['BUS_ADDR', 2]],
    ['A0', 'B', {}, ['BUS_ADDR', 4], ['BUS_ADDR', 4]],
    ['A0', 'B', { D0: RR }, ['THRU_HOST_BRIDGE', 4], ['NOT_SUPPORTED', 4]],
    ['A0', 'B', { D1: RR }, ['THRU_HOST_BRIDGE', 4], ['NOT_SUPPORTED', 4]],
    ['A0', 'B', { U0: RR }, ['THRU_HOST_BRIDGE', 4], ['NOT_SUPPORTED', 4]],
    ['A0', 'B', { A0: RR }, ['THRU_HOST_BRIDGE', 4], ['NOT_SUPPORTED', 4]],
    ['A0', 'B', { B: RR }, ['THRU_HOST_BRIDGE', 4], ['NOT_SUPPORTED', 4]],
    ['A0', 'B', { RP0: RR }, ['BUS_ADDR', 4], ['BUS_ADDR', 4]],
    ['A0', 'B', { A1: RR }, ['BUS_ADDR', 4], ['BUS_ADDR', 4]],
    ['A0', 'C', {}, ['THRU_HOST_BRIDGE', 6], ['NOT_SUPPORTED', 6]],
    ['A0', 'C', { D0: RR }, ['THRU_HOST_BRIDGE', 6], ['NOT_SUPPORTED', 6]],
    ['C', 'A0', {}, ['THRU_HOST_BRIDGE', 6], ['NOT_SUPPORTED', 6]],
    ['A0', 'D', {}, ['THRU_HOST_BRIDGE', 6], ['NOT_SUPPORTED', 6]],
    ['C', 'D', {}, ['THRU_HOST_BRIDGE', 4], ['NOT_SUPPORTED', 4]],
    ['A0', 'D0', {}, ['BUS_ADDR', 1], ['BUS_ADDR', 1]],
    ['RP0', 'A0', {}, ['BUS_ADDR', 3], ['BUS_ADDR', 3]],
  ])('%s -> %s with redirects on %o', (provider, client, acs, amd, intel) => {
    expect(verdict({ acs }, provider, client)).toEqual(amd);
    expect(verdict({ acs, cpu: INTEL }, provider, client)).toEqual(intel);
  });

  test.each([
    ['C', 'a bridge on the list, flagged for its own bridge only', 'THRU_HOST_BRIDGE'],
    ['D', 'both bridges on the list, one flagged so', 'NOT_SUPPORTED'],
  ] as const)('A0 -> %s with %s, distance 6', (client, _name, type) => {
    expect(verdict({ cpu: INTEL, roots: [0x3c00, 0x2030] }, 'A0', client)).toEqual([type, 6]);
  });

  test.each<[string, number, boolean]>([
    ['request redirect', 0x04, true],
    ['completion redirect', 0x08, true],
    ['egress control', 0x20, true],
    ['source validation', 0x01, false],
    ['translation blocking', 0x02, false],
    ['upstream forwarding', 0x10, false],
    ['direct translated', 0x40, false],
  ])('%s counts as a redirect: %#', (_name, ctrl, redirects) => {
    const [type] = verdict({ acs: { D0: { cap: 0x7f, ctrl } } }, 'A0', 'B');
    expect(type).toBe(redirects ? 'THRU_HOST_BRIDGE' : 'BUS_ADDR');
  });

  test('the control word decides, not the capability; unknown ACS does not redirect', () => {
    expect(verdict({ acs: { D0: { cap: 0x7f, ctrl: 0 }, D1: 'unknown' } }, 'A0', 'B')).toEqual(['BUS_ADDR', 4]);
  });

  test('the live ACS state is asked, not the description', () => {
    const topology = new Topology(twoRootMachine());
    const [a, b] = [topology.function(NODE.A0), topology.function(NODE.B)];
    const asked: string[] = [];
    const acs = {
      redirects: (fn: { bdf: string }): boolean => {
        asked.push(fn.bdf);
        return fn.bdf === NODE.D1;
      },
    };
    expect(calcMapTypeAndDistance(topology, a, b, acs).mapType).toBe(P2pMapType.THRU_HOST_BRIDGE);
    expect(asked).toEqual([NODE.A0, NODE.D0, NODE.U0, NODE.B, NODE.D1]);
  });
});

describe('without a bridge above (drivers §2.4)', () => {
  const topology = new Topology(
    testMachine([
      testFunction('0000:00:02.0', 'rciep'),
      testFunction('0000:00:03.0', 'endpoint'),
      testFunction('0000:00:03.1', 'endpoint'),
      testBridge('0000:00:04.0', 'root-port', [1, 1]),
      testFunction('0000:01:00.0', 'endpoint'),
    ]),
  );
  test.each([
    ['00:02.0', '00:03.0', 2],
    ['00:03.0', '00:03.1', 2],
    ['00:02.0', '01:00.0', 3],
    ['01:00.0', '00:02.0', 3],
  ])('%s -> %s goes through the host bridge', (provider, client, distance) => {
    expect(calcMapTypeAndDistance(topology, topology.function(provider), topology.function(client))).toEqual({
      mapType: P2pMapType.THRU_HOST_BRIDGE,
      distance,
    });
  });

  test('to itself it is still a bus address', () => {
    const fn = topology.function('00:02.0');
    expect(calcMapTypeAndDistance(topology, fn, fn)).toEqual({ mapType: P2pMapType.BUS_ADDR, distance: 0 });
  });
});

describe('virtual functions (drivers §2.4)', () => {
  const machine = (acs: AcsKnowledge) =>
    testMachine([
      testBridge('0000:00:01.0', 'root-port', [1, 2], { acs }),
      testFunction('0000:01:00.0', 'endpoint', {
        sriov: { totalVfs: 300, numVfs: 300, vfOffset: 1, vfStride: 1, vfDevice: 1 },
      }),
      testFunction('0000:01:00.1', 'vf', { physfn: '0000:01:00.0' }),
      testFunction('0000:02:00.0', 'vf', { physfn: '0000:01:00.0' }),
    ]);
  test.each([
    ['01:00.0', '01:00.1'],
    ['01:00.1', '01:00.0'],
    ['01:00.0', '02:00.0'],
    ['01:00.1', '02:00.0'],
  ])('%s -> %s: one path, two functions', (provider, client) => {
    const plain = new Topology(machine(null));
    expect(calcMapTypeAndDistance(plain, plain.function(provider), plain.function(client))).toEqual({
      mapType: P2pMapType.BUS_ADDR,
      distance: 2,
    });
    const redirecting = new Topology(machine(REDIRECT));
    expect(
      calcMapTypeAndDistance(redirecting, redirecting.function(provider), redirecting.function(client)).mapType,
    ).toBe(P2pMapType.THRU_HOST_BRIDGE);
  });
});
