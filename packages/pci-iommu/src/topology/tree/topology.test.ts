import { describe, expect, test } from 'vitest';
import { describedAcs, type MachineDescription, Topology, TopologyError, type TopologyFunction } from '../index.ts';
import {
  NODE,
  REDIRECT,
  testBar,
  testBridge,
  testFunction,
  testHostBridge,
  testMachine,
  twoRootMachine,
} from '../test-machine.ts';

describe('functions of a topology', () => {
  const topology = new Topology(twoRootMachine());

  test('are numbered densely in the order of their names, however the description orders them', () => {
    const machine = twoRootMachine();
    const shuffled: MachineDescription = { ...machine, functions: machine.functions.toReversed() };
    const names = (built: Topology): string[] => built.functions.map((fn) => fn.bdf);
    expect(names(new Topology(shuffled))).toEqual(names(topology));
    expect(topology.functions.map((fn) => fn.index)).toEqual(topology.functions.map((_, index) => index));
    expect(names(topology)).toEqual(names(topology).toSorted());
  });

  test('are found by full and short name, by requester id and by bus', () => {
    const fn = topology.function(NODE.A1);
    expect(topology.function('03:00.1')).toBe(fn);
    expect(topology.find('03:00.1')).toBe(fn);
    expect(topology.byRequesterId(0, 0x0301)).toBe(fn);
    expect(topology.functionsOnBus(0, 3).map(String)).toEqual([NODE.A0, NODE.A1]);
    expect(topology.has('03:00.2')).toBe(false);
    expect(topology.find('nonsense')).toBeUndefined();
    expect(topology.byRequesterId(1, 0x0301)).toBeUndefined();
  });

  test('a name that is not there is refused with its neighbours', () => {
    expect(() => topology.function('03:00.7')).toThrow(TopologyError);
    expect(() => topology.function('03:00.7')).toThrow(
      /no function 0000:03:00.7 in machine test \(13 functions\); near it: 0000:03:00.0, 0000:03:00.1/u,
    );
    expect(() => topology.function('nonsense')).toThrow(/expected a PCI function/u);
  });

  test('know their numbers', () => {
    expect(topology.function(NODE.D1)).toMatchObject({
      domain: 0,
      bus: 2,
      slot: 1,
      func: 0,
      devfn: 8,
      requesterId: 0x0208,
      key: 0x0208,
      secondary: 4,
      subordinate: 4,
      isBridge: true,
      pcieType: 6,
    });
  });

  test('share a device number when they are functions of one device', () => {
    expect(topology.function(NODE.A0).multifunction).toBe(true);
    expect(topology.function(NODE.B).multifunction).toBe(false);
    const told = new Topology(testMachine([testFunction('0000:00:02.0', 'endpoint', { multifunction: true })]));
    expect(told.function('00:02.0').multifunction).toBe(true);
  });

  test('show their described ACS as redirecting or not', () => {
    const redirecting = new Topology(
      twoRootMachine({
        acs: { D0: REDIRECT, D1: { cap: 0x5f, ctrl: 0x11 }, U0: 'unknown', RP0: { cap: 0, ctrl: 0x20 } },
      }),
    );
    const redirects = (bdf: string): boolean => describedAcs.redirects(redirecting.function(bdf));
    expect([NODE.D0, NODE.D1, NODE.U0, NODE.RP0, NODE.B].map(redirects)).toEqual([true, false, false, true, false]);
  });
});

describe('paths', () => {
  const topology = new Topology(twoRootMachine());
  const fn = (bdf: string): TopologyFunction => topology.function(bdf);

  test('lead from a function over its bridges to the root bus', () => {
    expect(topology.pathToRoot(fn(NODE.A0)).map(String)).toEqual([NODE.A0, NODE.D0, NODE.U0, NODE.RP0]);
    expect(topology.depth(fn(NODE.A0))).toBe(4);
    expect(topology.depth(fn(NODE.RP0))).toBe(1);
    expect(topology.upstreamBridge(fn(NODE.RP0))).toBeNull();
    expect(topology.upstreamBridge(fn(NODE.D))).toBe(fn(NODE.RP2));
  });

  test('meet in the common bridge', () => {
    expect(topology.commonBridge(fn(NODE.A0), fn(NODE.A1))).toBe(fn(NODE.D0));
    expect(topology.commonBridge(fn(NODE.A0), fn(NODE.B))).toBe(fn(NODE.U0));
    expect(topology.commonBridge(fn(NODE.A0), fn(NODE.A0))).toBe(fn(NODE.A0));
    expect(topology.commonBridge(fn(NODE.A0), fn(NODE.C))).toBeNull();
    expect(topology.commonBridge(fn(NODE.A0), fn(NODE.D))).toBeNull();
    expect(topology.commonBridge(fn(NODE.A0), fn(NODE.D0))).toBe(fn(NODE.D0));
  });

  test('end at the host bridge', () => {
    expect(topology.hostBridgeOf(fn(NODE.A0)).name).toBe('0000:00');
    expect(topology.hostBridgeOf(fn(NODE.D)).name).toBe('0000:80');
    expect(topology.hostBridges.map((bridge) => [bridge.bus, bridge.busEnd])).toEqual([
      [0x00, 0x7f],
      [0x80, 0xff],
    ]);
    expect(topology.hostBridges.map((bridge) => topology.rootBusFunctions(bridge).map(String))).toEqual([
      ['0000:00:00.0', NODE.RP0, NODE.RP1],
      ['0000:80:00.0', NODE.RP2],
    ]);
  });

  test('go down to children', () => {
    expect(topology.children(fn(NODE.U0)).map(String)).toEqual([NODE.D0, NODE.D1]);
    expect(topology.children(fn(NODE.B))).toEqual([]);
  });

  test('of a VF are those of its PF, also from a bus without owner', () => {
    const machine = testMachine([
      testBridge('0000:00:01.0', 'root-port', [1, 2]),
      testFunction('0000:01:00.0', 'endpoint', {
        sriov: { totalVfs: 256, numVfs: 256, vfOffset: 1, vfStride: 1, vfDevice: 1 },
      }),
      testFunction('0000:01:00.1', 'vf', { physfn: '0000:01:00.0' }),
      testFunction('0000:02:00.0', 'vf', { physfn: '0000:01:00.0' }),
    ]);
    const built = new Topology(machine);
    const [near, far] = [built.function('01:00.1'), built.function('02:00.0')];
    expect(built.pathToRoot(near).map(String)).toEqual(['0000:01:00.1', '0000:00:01.0']);
    expect(built.pathToRoot(far).map(String)).toEqual(['0000:02:00.0', '0000:00:01.0']);
    expect(far.bridge).toBeNull();
    expect(far.isVirtualFunction).toBe(true);
    expect(built.virtualFunctions(built.function('01:00.0'))).toEqual([near, far]);
    expect(far.hostBridge).toBe(built.hostBridges[0]);
  });

  test('domains are separate worlds', () => {
    const built = new Topology(
      testMachine([testFunction('0000:00:02.0', 'endpoint'), testFunction('0001:00:02.0', 'endpoint')], {
        hostBridges: [testHostBridge(0), testHostBridge(0, { domain: 1 })],
      }),
    );
    expect(built.functions.map((one) => one.hostBridge.name)).toEqual(['0000:00', '0001:00']);
    expect(built.hostBridges[0]?.busEnd).toBe(0xff);
  });
});

describe('addresses', () => {
  const OFFSET = -0x10_0000_0000;
  const topology = new Topology(
    testMachine(
      [
        testFunction('0000:00:02.0', 'endpoint', {
          bars: [testBar(0x10_0000_0000, 0x10_0000), testBar(0xe000_0000, 0x1000, { index: 2, kind: 'mem32' })],
        }),
        testFunction('0000:00:03.0', 'endpoint', {
          bars: [
            testBar(0x10_0010_0000, 0x10_0000),
            testBar(0x1000, 0x100, { index: 2, kind: 'io', prefetchable: false }),
            testBar(0, 0x1000, { index: 4, flags: ['unassigned'] }),
          ],
        }),
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
  const [root] = topology.hostBridges;
  if (root === undefined) throw new Error('no host bridge');

  test.each([
    [0x10_0000_0000, '0000:00:02.0', 0, 0],
    [0x10_000f_ffff, '0000:00:02.0', 0, 0xfffff],
    [0x10_0010_0000, '0000:00:03.0', 0, 0],
    [0xe000_0fff, '0000:00:02.0', 2, 0xfff],
  ])('%d belongs to a BAR', (address, bdf, index, offset) => {
    const hit = topology.barAt(address);
    expect([hit?.fn.bdf, hit?.bar.index, hit?.offset]).toEqual([bdf, index, offset]);
  });

  test.each([0, 0x1000, 0xe000_1000, 0xf_ffff_ffff, 0x10_0020_0000, 2 ** 52])('%d belongs to none', (address) => {
    expect(topology.barAt(address)).toBeNull();
  });

  test('memory BARs are listed in order, without I/O and without those that have no address', () => {
    expect(topology.memoryBars.map(({ bar }) => bar.start)).toEqual([0xe000_0000, 0x10_0000_0000, 0x10_0010_0000]);
  });

  test('memory windows are known in physical and in bus addresses', () => {
    expect(topology.memoryWindows()).toEqual(topology.memoryWindows(root));
    expect(topology.memoryWindows().map(({ start, busStart, busEnd }) => [start, busStart, busEnd])).toEqual([
      [0xe000_0000, 0xe000_0000, 0xefff_ffff],
      [0x10_0000_0000, 0, 0xf_ffff_ffff],
    ]);
  });

  test('physical and bus addresses translate both ways, as they are outside windows', () => {
    expect(topology.busAddress(root, 0x10_0000_1000)).toBe(0x1000);
    expect(topology.busAddress(root, 0xe000_1000)).toBe(0xe000_1000);
    expect(topology.busAddress(root, 0x5000)).toBe(0x5000);
    expect(topology.physicalAddress(root, 0x1000)).toBe(0x10_0000_1000);
    expect(topology.physicalAddress(root, 0x1f_0000_0000)).toBe(0x1f_0000_0000);
  });

  test('BARs are found by register', () => {
    const fn = topology.function('00:02.0');
    expect(fn.bar(2)?.start).toBe(0xe000_0000);
    expect(fn.bar(1)).toBeUndefined();
  });
});
