import { propertyRuns, propertyTimeoutMs } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { calcMapTypeAndDistance, P2pMapType } from '../../p2pdma/index.ts';
import {
  AcsBit,
  builtinMachine,
  describedAcs,
  isDecodedMemory,
  Topology,
  type TopologyFunction,
} from '../../topology/index.ts';
import { NODE, REDIRECT, testBar, testFunction, twoRootMachine } from '../../topology/test-machine.ts';
import { randomMachine } from '../../topology/test-random-machine.ts';
import { BusTree, buildRouteTable, DESCRIBED_REGISTERS, type RouteTable } from './index.ts';

const control = DESCRIBED_REGISTERS.acs;
const BAR_A = 0x10_0000_0000;

function tableOf(topology: Topology, from: string): RouteTable {
  return buildRouteTable(new BusTree(topology), topology.function(from), DESCRIBED_REGISTERS);
}

/** Who answers a packet from `from` to a bus address; 'root' when it goes to the root complex. */
function route(topology: Topology, from: string, address: number): string {
  const range = tableOf(topology, from).find(address);
  return range === null ? 'root' : (range.target?.bdf ?? 'nobody');
}

describe('the way of a packet', () => {
  test.each([
    ['to a neighbour below the same switch', NODE.B, {}, NODE.A0],
    ['to the other function of the device', NODE.A1, {}, NODE.A0],
    ['to itself', NODE.A0, {}, NODE.A0],
    ['from another root port of the same root complex', NODE.C, {}, 'root'],
    ['from another root complex', NODE.D, {}, 'root'],
    ['past a redirecting port on the requester side', NODE.B, { D1: REDIRECT }, 'root'],
    ['a redirecting port on the target side has no say', NODE.B, { D0: REDIRECT }, NODE.A0],
    ['a redirecting port above the switch has no say', NODE.B, { RP0: REDIRECT, U0: REDIRECT }, NODE.A0],
    ['to itself with redirection of its own', NODE.A0, { A0: REDIRECT }, 'root'],
    ['to the other function with redirection of its own', NODE.A1, { A1: REDIRECT }, 'root'],
    [
      'redirection of completions alone does not turn requests',
      NODE.B,
      { D1: { cap: 0x5f, ctrl: AcsBit.CompletionRedirect } },
      NODE.A0,
    ],
  ] as const)('%s', (_name, from, acs, expected) => {
    expect(route(new Topology(twoRootMachine({ acs })), from, BAR_A + 0x1234)).toBe(expected);
  });

  test('addresses beside the BAR go up', () => {
    const topology = new Topology(twoRootMachine());
    const table = tableOf(topology, NODE.B);
    expect(table.find(BAR_A - 1)).toBeNull();
    expect(table.find(BAR_A + 0x1000_0000)).toBeNull();
    expect(table.nextAfter(0)).toBe(BAR_A);
    expect(table.nextAfter(BAR_A)).toBe(Infinity);
  });

  test('goes by bus addresses, which may differ from physical ones', () => {
    const machine = twoRootMachine();
    const window = { start: BAR_A, end: BAR_A + 0xfff_ffff, busOffset: -0x8_0000_0000 };
    const shifted = {
      ...machine,
      hostBridges: [{ ...machine.hostBridges[0]!, windows: [window] }, machine.hostBridges[1]!],
    };
    const topology = new Topology(shifted);
    expect(route(topology, NODE.B, BAR_A)).toBe('root');
    const range = tableOf(topology, NODE.B).find(BAR_A - 0x8_0000_0000 + 5);
    expect(range).toMatchObject({ target: { bdf: NODE.A0 }, bar: 0, offset: 0x8_0000_0000 });
  });

  test('a bridge window without a BAR is forwarded to nobody', () => {
    const machine = twoRootMachine();
    const functions = machine.functions.map((fn) =>
      fn.bdf === NODE.D0
        ? { ...fn, windows: [{ kind: 'prefetch' as const, start: BAR_A - 0x10_0000, end: BAR_A + 0x1fff_ffff }] }
        : fn,
    );
    const topology = new Topology({ ...machine, functions });
    expect(route(topology, NODE.B, BAR_A - 1)).toBe('nobody');
    expect(route(topology, NODE.B, BAR_A)).toBe(NODE.A0);
    expect(route(topology, NODE.B, BAR_A + 0x1000_0000)).toBe('nobody');
    expect(route(topology, NODE.B, BAR_A + 0x2000_0000)).toBe('root');
    expect(route(topology, NODE.A0, BAR_A - 1)).toBe('nobody');
  });

  test('functions on a root bus reach each other through the root complex only', () => {
    const machine = twoRootMachine();
    const integrated = testFunction('0000:00:08.0', 'rciep', { bars: [testBar(0x20_0000_0000, 0x10_0000)] });
    const topology = new Topology({ ...machine, functions: [...machine.functions, integrated] });
    expect(route(topology, NODE.B, 0x20_0000_0000)).toBe('root');
    expect(route(topology, '0000:00:08.0', BAR_A)).toBe('root');
    expect(route(topology, '0000:00:08.0', 0x20_0000_0000)).toBe('0000:00:08.0');
  });
});

describe('route and map type', () => {
  /** Every memory BAR of every function, asked for by every function that is not a bridge. */
  function* pairs(topology: Topology): Generator<[client: TopologyFunction, provider: TopologyFunction, bus: number]> {
    for (const client of topology.functions) {
      if (client.isBridge || client.kind === 'host-bridge') continue;
      for (const provider of topology.functions) {
        for (const bar of provider.bars) {
          if (isDecodedMemory(bar)) yield [client, provider, topology.busAddress(provider.hostBridge, bar.start)];
        }
      }
    }
  }

  /** Functions from the client up to, but without, its first common bridge with the provider. */
  function clientSide(
    topology: Topology,
    client: TopologyFunction,
    provider: TopologyFunction,
  ): readonly TopologyFunction[] {
    const above = new Set(topology.pathToRoot(provider));
    const path = topology.pathToRoot(client);
    const common = path.findIndex((fn) => above.has(fn));
    return common < 0 ? path : path.slice(0, Math.max(1, common));
  }

  function agree(topology: Topology): number {
    let direct = 0;
    const tree = new BusTree(topology);
    const tables = topology.functions.map((fn) => buildRouteTable(tree, fn, DESCRIBED_REGISTERS));
    for (const [client, provider, bus] of pairs(topology)) {
      const { mapType } = calcMapTypeAndDistance(topology, provider, client, describedAcs);
      const range = tables[client.index]!.find(bus);
      const where = `${client.bdf} -> ${provider.bdf}`;
      if (mapType === P2pMapType.BUS_ADDR) {
        direct++;
        expect(range?.target, `${where} is BUS_ADDR`).toBe(provider);
      }
      const redirected = clientSide(topology, client, provider).every(
        (fn) => (control(fn) & (AcsBit.RequestRedirect | AcsBit.EgressControl)) === AcsBit.RequestRedirect,
      );
      if (redirected) expect(range, `${where} is redirected everywhere on the client's side`).toBeNull();
      if (client.hostBridge !== provider.hostBridge) expect(range, `${where} are below different roots`).toBeNull();
    }
    return direct;
  }

  test('agree on 300 random machines', { timeout: propertyTimeoutMs(60_000) }, () => {
    let direct = 0;
    fc.assert(
      fc.property(randomMachine, (machine) => {
        direct += agree(new Topology(machine));
      }),
      { numRuns: propertyRuns(300) },
    );
    expect(direct).toBeGreaterThan(100);
  });

  test.each(['wrx80-2gpu', 'microtca-2switch', 'aurora-8ve'])('agree on %s', (name) => {
    expect(agree(new Topology(builtinMachine(name)))).toBeGreaterThan(0);
  });
});
