import { describe, expect, test } from 'vitest';
import { type MachineDescription, parseMachineDescription, stringifyMachine, TopologyError } from '../index.ts';
import { testBar, testBridge, testFunction, testHostBridge, testMachine, twoRootMachine } from '../test-machine.ts';

function problemOf(machine: unknown): TopologyError {
  try {
    parseMachineDescription(machine);
  } catch (error) {
    if (error instanceof TopologyError) return error;
    throw error;
  }
  throw new Error('expected the description to be refused');
}

const ROOT_PORT = testBridge('0000:00:01.0', 'root-port', [1, 4]);

describe('machine descriptions', () => {
  test('a good one comes back equal', () => {
    const machine = twoRootMachine();
    expect(parseMachineDescription(machine)).toEqual(machine);
  });

  test('as JSON text and back', () => {
    const machine = twoRootMachine({ acs: { D0: { cap: 0x5f, ctrl: 0x1d }, D1: 'unknown' } });
    expect(parseMachineDescription(JSON.parse(stringifyMachine(machine)))).toEqual(machine);
  });

  test('JSON text has one line a function, ids and addresses in hex', () => {
    const text = stringifyMachine(twoRootMachine());
    const line = text.split('\n').find((candidate) => candidate.includes('0000:03:00.0'));
    expect(line).toContain('"vendor":"0x1af4"');
    expect(line).toContain('"start":"0x1000000000"');
  });

  test('hex strings are numbers, short names get their domain', () => {
    const machine = parseMachineDescription({
      ...twoRootMachine(),
      hostBridges: [{ domain: 0, bus: '0x00', windows: [{ start: '0x0', end: '0xfff', busOffset: '0x10' }] }],
      functions: [{ ...testFunction('01:00.0', 'vf'), bdf: '00:02.0', kind: 'endpoint', vendor: '0x10de' }],
    });
    expect(machine.functions[0]).toMatchObject({ bdf: '0000:00:02.0', vendor: 0x10de });
    expect(machine.hostBridges[0]?.windows[0]).toEqual({ start: 0, end: 0xfff, busOffset: 0x10 });
  });

  test('a bus offset may be negative but bus addresses may not', () => {
    const hostBridge = (busOffset: number) =>
      testMachine([], {
        hostBridges: [testHostBridge(0, { windows: [{ start: 0x8000, end: 0xffff, busOffset }] })],
      });
    expect(() => parseMachineDescription(hostBridge(-0x8000))).not.toThrow();
    expect(problemOf(hostBridge(-0x8001)).path).toBe('hostBridges[0].windows[0].busOffset');
  });
});

describe('shapes that are refused, by path', () => {
  const good = twoRootMachine();
  const withFirst = (change: Record<string, unknown>): unknown => ({
    ...good,
    functions: [{ ...good.functions[0], ...change }, ...good.functions.slice(1)],
  });
  const withBar = (change: Record<string, unknown>): unknown =>
    withFirst({ kind: 'endpoint', bars: [{ ...testBar(0x20_0000_0000, 0x1000), ...change }] });
  test.each<[string, unknown, string, RegExp]>([
    ['not an object', 7, '', /expected an object, got 7/u],
    ['another schema', { ...good, schema: 'x' }, 'schema', /expected "dmabuf-emu\/machine@1", got "x"/u],
    ['no name', { ...good, name: '' }, 'name', /a text that is not empty/u],
    ['no cpu', { ...good, cpu: undefined }, 'cpu', /expected an object, got nothing/u],
    ['family of a wrong type', { ...good, cpu: { vendor: 'AMD', family: 'Zen' } }, 'cpu.family', /a whole number/u],
    ['no functions', { ...good, functions: {} }, 'functions', /expected a list, got an object/u],
    ['a misspelt field', withFirst({ vendro: 1 }), 'functions[0].vendro', /unknown field; expected bdf, vendor/u],
    ['a bad name', withFirst({ bdf: '00:40.0' }), 'functions[0].bdf', /a PCI function such as "0000:41:00.0"/u],
    ['a big vendor', withFirst({ vendor: 0x10000 }), 'functions[0].vendor', /from 0 to 0xffff/u],
    ['a fraction', withFirst({ device: 1.5 }), 'functions[0].device', /a whole number/u],
    ['an unknown kind', withFirst({ kind: 'switch' }), 'functions[0].kind', /one of host-bridge, root-port/u],
    ['a bad PCIe type', withFirst({ pcieType: 3 }), 'functions[0].pcieType', /0, 1, 4..10/u],
    ['missing acs', withFirst({ acs: undefined }), 'functions[0].acs', /\{cap, ctrl\}, null or "unknown"/u],
    ['half an acs', withFirst({ acs: { cap: 1 } }), 'functions[0].acs.ctrl', /got nothing/u],
    ['acs bits that do not exist', withFirst({ acs: { cap: 1, ctrl: 0x80 } }), 'functions[0].acs.ctrl', /within 0x7f/u],
    ['flr of a wrong type', withFirst({ flr: 'yes' }), 'functions[0].flr', /true or false, got "yes"/u],
    ['a negative BAR', withBar({ start: -1 }), 'functions[0].bars[0].start', /from 0 to 0x1fffffffffffff/u],
    ['BAR kind', withBar({ kind: 'mem' }), 'functions[0].bars[0].kind', /mem32, mem64, io/u],
    ['BAR flag', withBar({ flags: ['off'] }), 'functions[0].bars[0].flags', /disabled, virtual/u],
    [
      'more VFs than there can be',
      withFirst({ sriov: { totalVfs: 1, numVfs: 2, vfOffset: 1, vfStride: 1, vfDevice: null } }),
      'functions[0].sriov.numVfs',
      /at most totalVfs \(1\)/u,
    ],
  ])('%s', (_what, machine, path, message) => {
    const problem = problemOf(machine);
    expect(problem.path).toBe(path);
    expect(problem.message).toMatch(message);
  });
});

describe('trees that are refused', () => {
  test.each<[string, MachineDescription, RegExp]>([
    [
      'a function twice',
      testMachine([testFunction('0000:00:02.0', 'endpoint'), testFunction('0000:00:02.0', 'endpoint')]),
      /functions\[1\]\.bdf: expected each function once, but functions\[0\] is 0000:00:02.0 too/u,
    ],
    [
      'a bus that nothing leads to',
      testMachine([testFunction('0000:42:00.0', 'endpoint')]),
      /nothing leads to bus 0000:42; expected a host bridge with this root bus or a bridge with secondary 66 \(0x42\)/u,
    ],
    [
      'a parent that does not exist',
      testMachine([ROOT_PORT, testFunction('0000:01:00.0', 'endpoint', { parent: '0000:00:07.0' })]),
      /functions\[1\]\.parent: no function 0000:00:07.0; expected the bridge above/u,
    ],
    [
      'a parent that leads elsewhere',
      testMachine([
        ROOT_PORT,
        testBridge('0000:00:02.0', 'root-port', [5, 5]),
        testFunction('0000:01:00.0', 'endpoint', { parent: '0000:00:02.0' }),
      ]),
      /functions\[2\]\.parent: expected 0000:00:01.0, which leads to bus 0000:01, got 0000:00:02.0/u,
    ],
    [
      'a parent on a root bus',
      testMachine([ROOT_PORT, testFunction('0000:00:03.0', 'endpoint', { parent: '0000:00:01.0' })]),
      /expected no parent \(root bus\)/u,
    ],
    [
      'two bridges to one bus',
      testMachine([ROOT_PORT, testBridge('0000:00:02.0', 'root-port', [1, 1])]),
      /functions\[1\]\.secondary: expected a bus of its own, but 0000:00:01.0 leads to 0000:01 too/u,
    ],
    [
      'a bridge to a root bus',
      testMachine([testBridge('0000:00:01.0', 'root-port', [0, 4])]),
      /functions\[0\]\.secondary: expected a bus behind the bridge, but 0000:00 is a root bus/u,
    ],
    [
      'bridges in a circle',
      testMachine([
        testBridge('0000:05:00.0', 'upstream-port', [6, 9]),
        testBridge('0000:06:00.0', 'downstream-port', [5, 9]),
      ]),
      /expected a tree, but bridges form a cycle: 0000:05:00.0 -> 0000:06:00.0 -> 0000:05:00.0/u,
    ],
    [
      'bus numbers outside the bridge above',
      testMachine([ROOT_PORT, testBridge('0000:01:00.0', 'upstream-port', [2, 9])]),
      /functions\[1\]: expected bus numbers within 1..4 of 0000:00:01.0 above, got 9/u,
    ],
    [
      'half of the bus numbers',
      testMachine([testFunction('0000:00:01.0', 'root-port', { secondary: 1 })]),
      /expected both secondary and subordinate, or neither/u,
    ],
    [
      'subordinate below secondary',
      testMachine([testBridge('0000:00:01.0', 'root-port', [4, 1])]),
      /functions\[0\]\.subordinate: expected at least secondary \(4\), got 1/u,
    ],
    [
      'buses behind an endpoint',
      testMachine([testBridge('0000:00:01.0', 'endpoint', [1, 1])]),
      /expected no bus numbers and no windows on a endpoint/u,
    ],
    [
      'two host bridges on one bus',
      testMachine([], { hostBridges: [testHostBridge(0, { busEnd: 0x7f }), testHostBridge(0x40)] }),
      /hostBridges\[1\]: bus 0000:40 already belongs to hostBridges\[0\]/u,
    ],
    [
      'a host bridge that ends before it starts',
      testMachine([], { hostBridges: [testHostBridge(4, { busEnd: 3 })] }),
      /hostBridges\[0\]\.busEnd: expected a bus at or above 4, got 3/u,
    ],
    [
      'a VF without its PF',
      testMachine([testFunction('0000:00:02.1', 'vf')]),
      /functions\[0\]\.physfn: expected the physical function of this VF, got nothing/u,
    ],
    [
      'a PF that does not exist',
      testMachine([testFunction('0000:00:02.1', 'vf', { physfn: '0000:00:02.0' })]),
      /no function 0000:00:02.0; expected the VF's physical function/u,
    ],
    [
      'a VF of another kind',
      testMachine([
        testFunction('0000:00:02.0', 'endpoint'),
        testFunction('0000:00:02.1', 'endpoint', { physfn: '0000:00:02.0' }),
      ]),
      /functions\[1\]\.physfn: expected kind "vf" beside physfn, got "endpoint"/u,
    ],
    [
      'a VF of a VF',
      testMachine([
        testFunction('0000:00:02.0', 'endpoint'),
        testFunction('0000:00:02.1', 'vf', { physfn: '0000:00:02.0' }),
        testFunction('0000:00:02.2', 'vf', { physfn: '0000:00:02.1' }),
      ]),
      /expected a physical function, but 0000:00:02.1 is a VF/u,
    ],
    [
      'a VF that the SR-IOV capability does not place there',
      testMachine([
        testFunction('0000:00:02.0', 'endpoint', {
          sriov: { totalVfs: 4, numVfs: 2, vfOffset: 2, vfStride: 1, vfDevice: 1 },
        }),
        testFunction('0000:00:02.5', 'vf', { physfn: '0000:00:02.0' }),
      ]),
      /0000:00:02.5 is none of the 2 VFs of 0000:00:02.0 \(offset 2, stride 1\)/u,
    ],
  ])('%s', (_what, machine, message) => {
    expect(problemOf(machine).message).toMatch(message);
  });

  test('VFs may stand on a bus that no bridge owns', () => {
    const sriov = { totalVfs: 256, numVfs: 256, vfOffset: 0x80, vfStride: 1, vfDevice: 1 };
    const machine = testMachine([
      testBridge('0000:00:01.0', 'root-port', [1, 2]),
      testFunction('0000:01:00.0', 'endpoint', { sriov }),
      testFunction('0000:02:00.0', 'vf', { physfn: '0000:01:00.0' }),
    ]);
    expect(() => parseMachineDescription(machine)).not.toThrow();
  });
});

describe('BARs and windows that are refused', () => {
  const one = (...bars: Parameters<typeof testBar>[]): MachineDescription =>
    testMachine([testFunction('0000:00:02.0', 'endpoint', { bars: bars.map((bar) => testBar(...bar)) })]);
  test.each<[string, MachineDescription, RegExp]>([
    [
      'a size that is no power of two',
      one([0, 0x3000]),
      /bars\[0\]\.size: expected a power of two of at least 16, got 0x3000/u,
    ],
    ['a tiny BAR', one([0, 8]), /at least 16/u],
    [
      'an address off its size',
      one([0x1800, 0x1000]),
      /bars\[0\]\.start: expected a multiple of the BAR's size 0x1000/u,
    ],
    ['an end beyond 2^53', one([2 ** 52, 2 ** 52]), /expected the BAR to end below 2\^53/u],
    [
      'a 64-bit BAR in the last register',
      one([0, 0x1000, { index: 5 }]),
      /bars\[0\]\.index: expected BAR registers below 6, but this BAR reaches register 6/u,
    ],
    [
      'the upper half of a 64-bit BAR as another BAR',
      one([0, 0x1000], [0x1000, 0x1000, { index: 1, kind: 'mem32' }]),
      /bars\[1\]\.index: expected each BAR register once, but register 1 is taken already/u,
    ],
    [
      'a prefetchable I/O BAR',
      one([0x1000, 0x100, { kind: 'io' }]),
      /expected an I\/O BAR below 4 GiB that is not prefetchable/u,
    ],
    [
      'a third BAR on a bridge',
      testMachine([testBridge('0000:00:01.0', 'root-port', [1, 1], { bars: [testBar(0, 0x1000, { index: 1 })] })]),
      /expected BAR registers below 2/u,
    ],
    [
      'BARs that overlap',
      testMachine([
        testFunction('0000:00:02.0', 'endpoint', { bars: [testBar(0x10000, 0x10000)] }),
        testFunction('0000:00:03.0', 'endpoint', { bars: [testBar(0x18000, 0x1000)] }),
      ]),
      /functions\[1\]\.bars\[0\]: overlaps functions\[0\]\.bars\[0\]: 0x18000..0x18fff and 0x10000..0x1ffff/u,
    ],
    [
      'windows of two host bridges that overlap',
      testMachine([], {
        hostBridges: [
          testHostBridge(0, { busEnd: 0, windows: [{ start: 0, end: 0xffff, busOffset: 0 }] }),
          testHostBridge(1, { windows: [{ start: 0x8000, end: 0x1ffff, busOffset: 0 }] }),
        ],
      }),
      /hostBridges\[1\]\.windows\[0\]: overlaps hostBridges\[0\]\.windows\[0\]/u,
    ],
    [
      'a BAR outside the windows of its host bridge',
      testMachine([testFunction('0000:00:02.0', 'endpoint', { bars: [testBar(0x20000, 0x1000)] })], {
        hostBridges: [testHostBridge(0, { windows: [{ start: 0, end: 0xffff, busOffset: 0 }] })],
      }),
      /functions\[0\]\.bars\[0\]: expected a range inside a window of its host bridge, got 0x20000..0x20fff/u,
    ],
    [
      'a bridge window upside down',
      testMachine([
        testBridge('0000:00:01.0', 'root-port', [1, 1], { windows: [{ kind: 'mem', start: 0x2000, end: 0x1000 }] }),
      ]),
      /functions\[0\]\.windows\[0\]\.end: expected an address at or above start 0x2000/u,
    ],
  ])('%s', (_what, machine, message) => {
    expect(problemOf(machine).message).toMatch(message);
  });

  test('BARs without an address do not overlap', () => {
    expect(() =>
      parseMachineDescription(
        one(
          [0, 0x1000, { flags: ['unassigned'] }],
          [0, 0x1000, { index: 2, flags: ['ignored'] }],
          [0, 0x1000, { index: 4 }],
        ),
      ),
    ).not.toThrow();
  });
});
