import { describe, expect, test } from 'vitest';
import {
  type AcsKnowledge,
  builtinMachine,
  describeLspci,
  Topology,
  type TopologyFunction,
} from '../topology/index.ts';
import { INTEL, testBridge, testFunction, testHostBridge, testMachine } from '../topology/test-machine.ts';
import { readRealDump, realDumps, realDumpsState } from '../topology/test-real-dumps.ts';
import { calcMapTypeAndDistance, HOST_BRIDGE_WHITELIST, P2pMapType, p2pMapTypeName } from './index.ts';

/** Answers that real kernels gave, on the topologies for which they gave them. */

describe('two GPUs with switches of their own below one switch, host bridge 8086:4c43, kernel 7.0', () => {
  const machine = (acs: AcsKnowledge) =>
    testMachine(
      [
        testFunction('0000:00:00.0', 'host-bridge', { vendor: 0x8086, device: 0x4c43, class: 0x060000 }),
        testBridge('0000:00:01.0', 'root-port', [0x0a, 0x12]),
        testBridge('0000:0a:00.0', 'upstream-port', [0x0b, 0x12]),
        testBridge('0000:0b:00.0', 'downstream-port', [0x0c, 0x0e], { acs }),
        testBridge('0000:0c:00.0', 'upstream-port', [0x0d, 0x0e]),
        testBridge('0000:0d:01.0', 'downstream-port', [0x0e, 0x0e], { acs }),
        testFunction('0000:0e:00.0', 'endpoint'),
        testBridge('0000:0b:10.0', 'downstream-port', [0x10, 0x12], { acs }),
        testBridge('0000:10:00.0', 'upstream-port', [0x11, 0x12]),
        testBridge('0000:11:01.0', 'downstream-port', [0x12, 0x12], { acs }),
        testFunction('0000:12:00.0', 'endpoint'),
      ],
      { cpu: INTEL },
    );
  test.each<[string, AcsKnowledge, keyof typeof P2pMapType]>([
    ['on', { cap: 0x7f, ctrl: 0x0c }, 'NOT_SUPPORTED'],
    ['off', { cap: 0x7f, ctrl: 0x00 }, 'BUS_ADDR'],
  ])('redirects %s', (_state, acs, expected) => {
    const topology = new Topology(machine(acs));
    const [a, b] = [topology.function('0e:00.0'), topology.function('12:00.0')];
    expect(calcMapTypeAndDistance(topology, a, b)).toEqual({ mapType: P2pMapType[expected], distance: 8 });
    expect(calcMapTypeAndDistance(topology, b, a)).toEqual({ mapType: P2pMapType[expected], distance: 8 });
  });
});

describe('GPUs below two root complexes of an Ice Lake-SP server (first device 8086:09a2)', () => {
  const root = (bus: number): string => `0000:${bus.toString(16)}`;
  const branch = (bus: number) => [
    testFunction(`${root(bus)}:00.0`, 'rciep', { vendor: 0x8086, device: 0x09a2, class: 0x088000 }),
    testBridge(`${root(bus)}:02.0`, 'root-port', [bus + 1, bus + 3], { vendor: 0x8086, device: 0x347a }),
    testBridge(`${root(bus + 1)}:00.0`, 'upstream-port', [bus + 2, bus + 3], { vendor: 0x1002 }),
    testBridge(`${root(bus + 2)}:00.0`, 'downstream-port', [bus + 3, bus + 3], { vendor: 0x1002 }),
    testFunction(`${root(bus + 3)}:00.0`, 'endpoint', { vendor: 0x1002 }),
  ];
  const topology = new Topology(
    testMachine([...branch(0x16), ...branch(0x64)], {
      cpu: INTEL,
      hostBridges: [testHostBridge(0x16), testHostBridge(0x64)],
    }),
  );
  const [provider, client] = [topology.function('19:00.0'), topology.function('67:00.0')];

  test('kernel 5.14, whose list did not have 09a2: not supported', () => {
    const list = HOST_BRIDGE_WHITELIST.filter((row) => row.device !== 0x09a2);
    expect(calcMapTypeAndDistance(topology, provider, client, undefined, list).mapType).toBe(P2pMapType.NOT_SUPPORTED);
  });

  test('with 09a2 in the list: through the host bridges', () => {
    expect(calcMapTypeAndDistance(topology, provider, client)).toEqual({
      mapType: P2pMapType.THRU_HOST_BRIDGE,
      distance: 8,
    });
  });
});

function typeBetween(topology: Topology, a: TopologyFunction, b: TopologyFunction): string {
  return p2pMapTypeName(calcMapTypeAndDistance(topology, a, b).mapType);
}

/** All answers between functions of different root complexes. */
function typesAcross(topology: Topology): readonly string[] {
  const types = topology.functions.flatMap((a) =>
    topology.functions.filter((b) => b.hostBridge !== a.hostBridge).map((b) => typeBetween(topology, a, b)),
  );
  return [...new Set(types)];
}

describe('genoa-4gpu against the distance classes of its own `nvidia-smi topo -m`', () => {
  const topology = new Topology(builtinMachine('genoa-4gpu'));
  const names = ['gpu0', 'gpu1', 'gpu2', 'gpu3', 'nic0', 'nic1', 'nic2', 'nic3'];
  // One row and column a device, as printed: PIX is one bridge, NODE and SYS cross host bridges.
  const CLASSES = [
    'X NODE SYS SYS NODE NODE SYS SYS',
    'NODE X SYS SYS NODE NODE SYS SYS',
    'SYS SYS X NODE SYS SYS NODE NODE',
    'SYS SYS NODE X SYS SYS NODE NODE',
    'NODE NODE SYS SYS X PIX SYS SYS',
    'NODE NODE SYS SYS PIX X SYS SYS',
    'SYS SYS NODE NODE SYS SYS X PIX',
    'SYS SYS NODE NODE SYS SYS PIX X',
  ].map((row) => row.split(' '));
  const devices = names.map((name) => {
    const found = topology.functions.find((fn) => fn.label === name);
    if (found === undefined) throw new Error(`no ${name}`);
    return found;
  });

  test('one bridge apart is a bus address, across host bridges is through them', () => {
    devices.forEach((a, row) => {
      devices.forEach((b, column) => {
        const shown = CLASSES[row]?.[column];
        const local = shown === 'X' || shown === 'PIX';
        expect(typeBetween(topology, a, b), `${names[row]} ${names[column]}`).toBe(
          local ? 'BUS_ADDR' : 'THRU_HOST_BRIDGE',
        );
        if (shown === 'NODE') expect(a.description.numaNode).toBe(b.description.numaNode);
        if (shown === 'SYS') expect(a.description.numaNode).not.toBe(b.description.numaNode);
      });
    });
  });
});

describe('wrx80-2gpu: every pair across root complexes goes through the host bridges (AMD Zen)', () => {
  test('and no pair is refused', () => {
    const topology = new Topology(builtinMachine('wrx80-2gpu'));
    expect(typesAcross(topology)).toEqual(['THRU_HOST_BRIDGE']);
    const all = topology.functions.flatMap((a) => topology.functions.map((b) => typeBetween(topology, a, b)));
    expect(new Set(all)).toEqual(new Set(['BUS_ADDR', 'THRU_HOST_BRIDGE']));
  });
});

test(`real dumps ${realDumpsState}`, () => {
  expect(realDumps === null).toBe(realDumpsState !== 'present');
});

describe.skipIf(realDumps === null)('listings of real machines', () => {
  const load = (name: string, vendor: string, family: number | null): Topology =>
    new Topology(describeLspci(readRealDump(name), { name: 'dump', cpu: { vendor, family } }).description);

  test.each([
    ['wrx80-2gpu', 'pci/amd-threadripperpro-wrx80-2xa6000.lspci-nnDvvvxxx.txt'],
    ['microtca-2switch', 'pci/intel-kabylake-microtca-pex8748.report.txt'],
  ])('the built-in %s has the facts of its listing', (name, dump) => {
    const built = builtinMachine(name);
    const { description } = describeLspci(readRealDump(dump), { name, title: built.title, cpu: built.cpu });
    const unnamed = built.functions.map(({ name: _label, ...facts }) => facts);
    expect(description.functions.map(({ config: _bytes, ...facts }) => facts)).toEqual(unnamed);
    expect(description.hostBridges).toEqual(built.hostBridges);
  });

  test('the built-in genoa-4gpu has the BARs and the ACS of the functions that its listing details', () => {
    const dump = readRealDump('pci/amd-genoa-2s-asus-esc8000a-rtx6000ada-cx7.lspci-tv.md');
    const { description } = describeLspci(dump, { name: 'dump' });
    const built = new Topology(builtinMachine('genoa-4gpu'));
    const facts = description.functions.map(({ bdf, bars, acs, flr, pm }) => ({ bdf, bars, acs, flr, pm }));
    const same = facts.map(({ bdf }) => {
      const { bars, acs, flr, pm } = built.function(bdf).description;
      return { bdf, bars, acs, flr, pm };
    });
    expect(same).toEqual(facts);
  });

  test('Arm Neoverse: no host bridge is listed, so pairs across roots are refused', () => {
    const topology = load('pci/arm-neoverse-n1sdp-pex8749.lspci-vvvxxx.txt', 'ARM', null);
    expect(typesAcross(topology)).toEqual(['NOT_SUPPORTED']);
  });

  test('Ice Lake-SP with 8086:09a2 first on every root bus: RDMA NIC and RAID controller reach each other', () => {
    const topology = load('pci/intel-icelake-sp-2s-dell-connectx5.lspci-vvv.txt', 'Intel', 6);
    const [nic, raid] = [topology.function('4b:00.0'), topology.function('65:00.0')];
    expect(typeBetween(topology, nic, raid)).toBe('THRU_HOST_BRIDGE');
    expect(typeBetween(topology, nic, topology.function('4b:00.1'))).toBe('BUS_ADDR');
  });
});
