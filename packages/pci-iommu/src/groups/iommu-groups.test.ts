import { describe, expect, test } from 'vitest';
import { type FunctionDescription, type FunctionKind, PcieType, Topology } from '../topology/index.ts';
import {
  AMD_ZEN,
  INTEL,
  NODE,
  testBridge,
  testFunction,
  testHostBridge,
  testMachine,
  twoRootMachine,
} from '../topology/test-machine.ts';
import { type AcsSetup, iommuGroups, mergedGroups } from './index.ts';
import { partitionOf } from './test-listings.ts';

const ON: AcsSetup = { iommu: true };
const CAN = { acs: { cap: 0x1d, ctrl: 0 } };

function groupsOf(functions: readonly FunctionDescription[], setup = ON, cpu = INTEL): readonly string[] {
  return partitionOf(iommuGroups(new Topology(testMachine(functions, { cpu })), setup)).map((line) =>
    line.replaceAll('0000:', ''),
  );
}

describe('who is with whom (drivers §3.3)', () => {
  test('without an IOMMU there are no groups', () => {
    expect(iommuGroups(new Topology(twoRootMachine()), { iommu: false })).toEqual([]);
  });

  test('below a port that isolates, each function has its own', () => {
    const tree = [testBridge('0000:00:01.0', 'root-port', [1, 1], CAN), testFunction('0000:01:00.0', 'endpoint')];
    expect(groupsOf(tree)).toEqual(['00:01.0', '01:00.0']);
  });

  test('below one that does not, all are with the port', () => {
    const acs = { cap: 0x1d, ctrl: 0 };
    const topology = new Topology(twoRootMachine({ acs: { D0: acs, D1: acs, RP1: acs, RP2: acs } }));
    const [first] = iommuGroups(topology, ON).filter(({ functions }) => functions.some(({ bdf }) => bdf === NODE.RP0));
    expect(first?.functions.map(({ bdf }) => bdf)).toEqual([
      NODE.RP0,
      NODE.U0,
      NODE.D0,
      NODE.D1,
      NODE.A0,
      NODE.A1,
      NODE.B,
    ]);
    expect(first?.joins.map(({ through }) => through.bdf)).toEqual(Array.from({ length: 6 }, () => NODE.RP0));
    expect(first?.joins[0]?.text).toBe('0000:00:01.0 above it does not isolate: it has no ACS');
  });

  test('a capability bit that is missing counts as on', () => {
    const tree = [
      testBridge('0000:00:01.0', 'root-port', [1, 1], { acs: { cap: 0x01, ctrl: 0 } }),
      testFunction('0000:01:00.0', 'endpoint'),
    ];
    expect(groupsOf(tree)).toHaveLength(2);
  });

  test.each([
    ['SV', 0x1c, 1],
    ['RR', 0x19, 1],
    ['CR', 0x15, 1],
    ['UF', 0x0d, 1],
    ['TB, EC and DT', 0x1d, 2],
  ])('a port that could isolate, with %s off', (_bits, word, count) => {
    const tree = [
      testBridge('0000:00:01.0', 'root-port', [1, 1], { acs: { cap: 0x7f, ctrl: 0 } }),
      testFunction('0000:01:00.0', 'endpoint'),
    ];
    expect(groupsOf(tree, { ...ON, overrides: { '00:01.0': word } })).toHaveLength(count);
  });

  test('what is not function 0 shares its device, whatever its header says', () => {
    const tree = [
      testFunction('0000:00:02.0', 'rciep', { multifunction: true }),
      testFunction('0000:00:02.1', 'rciep', { multifunction: false }),
    ];
    expect(groupsOf(tree)).toEqual(['00:02.0 00:02.1']);
  });

  test.each([
    ['no ACS', {}, 1],
    ['ACS', { acs: { cap: 0x0c, ctrl: 0 } }, 2],
  ])('functions of one device with %s', (_what, more, count) => {
    const kind: FunctionKind = 'endpoint';
    const tree = [
      testBridge('0000:00:01.0', 'root-port', [1, 1], CAN),
      testFunction('0000:01:00.0', kind, more),
      testFunction('0000:01:00.1', kind, more),
    ];
    expect(groupsOf(tree)).toHaveLength(1 + count);
  });

  test('an isolated function stays out of the group of its device', () => {
    const tree = [
      testFunction('0000:00:02.0', 'rciep'),
      testFunction('0000:00:02.1', 'rciep', { acs: { cap: 0x0c, ctrl: 0 } }),
      testFunction('0000:00:02.2', 'rciep'),
    ];
    expect(groupsOf(tree)).toEqual(['00:02.0 00:02.2', '00:02.1']);
  });

  test('behind a bridge to conventional PCI all are one with the bridge', () => {
    const tree = [
      testBridge('0000:00:01.0', 'root-port', [1, 2], CAN),
      testBridge('0000:01:00.0', 'pcie-to-pci-bridge', [2, 2]),
      testFunction('0000:02:00.0', 'pci-device'),
      testFunction('0000:02:01.0', 'pci-device'),
    ];
    expect(groupsOf(tree)).toEqual(['00:01.0', '01:00.0 02:00.0 02:01.0']);
  });

  test('virtual functions have groups of their own, also beside a function that does not isolate', () => {
    const tree = [
      testBridge('0000:00:01.0', 'root-port', [1, 1], CAN),
      testFunction('0000:01:00.0', 'endpoint', {
        sriov: { totalVfs: 2, numVfs: 2, vfOffset: 2, vfStride: 1, vfDevice: 0x1001 },
      }),
      testFunction('0000:01:00.1', 'endpoint'),
      testFunction('0000:01:00.2', 'vf', { physfn: '0000:01:00.0' }),
      testFunction('0000:01:00.3', 'vf', { physfn: '0000:01:00.0' }),
    ];
    expect(groupsOf(tree)).toEqual(['00:01.0', '01:00.0 01:00.1', '01:00.2', '01:00.3']);
  });

  test('an event collector never isolates', () => {
    const tree = [
      testFunction('0000:00:02.0', 'rc-event-collector', { acs: { cap: 0x1d, ctrl: 0 }, multifunction: true }),
      testFunction('0000:00:02.1', 'rc-event-collector', { acs: { cap: 0x1d, ctrl: 0 } }),
    ];
    expect(groupsOf(tree)).toEqual(['00:02.0 00:02.1']);
  });

  test("functions in another one's name: Marvell SATA and its ghost, Ricoh", () => {
    const tree = [
      testBridge('0000:00:01.0', 'root-port', [1, 1], CAN),
      testFunction('0000:01:00.0', 'endpoint', { vendor: 0x1b4b, device: 0x9123, acs: { cap: 0x0c, ctrl: 0 } }),
      testFunction('0000:01:00.1', 'endpoint', { vendor: 0x1b4b, device: 0x91a4, acs: { cap: 0x0c, ctrl: 0 } }),
      testBridge('0000:00:02.0', 'root-port', [2, 2], CAN),
      testFunction('0000:02:00.0', 'endpoint', { vendor: 0x1180, device: 0xe230, acs: { cap: 0x0c, ctrl: 0 } }),
      testFunction('0000:02:00.3', 'endpoint', { vendor: 0x1180, device: 0xe832, acs: { cap: 0x0c, ctrl: 0 } }),
    ];
    expect(groupsOf(tree)).toEqual(['00:01.0', '00:02.0', '01:00.0 01:00.1', '02:00.0 02:00.3']);
  });

  test('a volume management device: everything in its domain is one with it', () => {
    const topology = new Topology(
      testMachine(
        [
          testFunction('0000:00:0e.0', 'rciep', { vendor: 0x8086, device: 0x467f }),
          testBridge('10000:e0:06.0', 'root-port', [0xe1, 0xe1], { vendor: 0x8086, ...CAN }),
          testFunction('10000:e1:00.0', 'endpoint'),
        ],
        { cpu: INTEL, hostBridges: [testHostBridge(0), testHostBridge(0xe0, { domain: 0x10000 })] },
      ),
    );
    expect(partitionOf(iommuGroups(topology, ON))).toEqual(['0000:00:0e.0 10000:e0:06.0 10000:e1:00.0']);
  });

  test('AMD: neither the IOMMU nor the root complex before it has a group', () => {
    const tree = [
      testFunction('0000:00:00.0', 'host-bridge', { vendor: 0x1022, class: 0x060000 }),
      testFunction('0000:00:00.2', 'rciep', { vendor: 0x1022, class: 0x080600 }),
      testFunction('0000:00:01.0', 'host-bridge', { vendor: 0x1022, class: 0x060000 }),
    ];
    expect(groupsOf(tree, ON, AMD_ZEN)).toEqual(['00:01.0']);
    expect(groupsOf(tree.slice(0, 1), ON, AMD_ZEN)).toEqual(['00:00.0']);
  });
});

describe('what is asked of the kernel (drivers §2.6)', () => {
  const port = { acs: { cap: 0x7f, ctrl: 0 } };
  const tree = [
    testBridge('0000:00:01.0', 'root-port', [1, 3], port),
    testBridge('0000:01:00.0', 'upstream-port', [2, 3]),
    testBridge('0000:02:00.0', 'downstream-port', [3, 3], { ...port, vendor: 0x10b5, device: 0x8749 }),
    testFunction('0000:03:00.0', 'endpoint'),
  ];

  test.each<[string, Partial<AcsSetup>, number]>([
    ['nothing', {}, 4],
    ['disable_acs_redir by name', { disableAcsRedir: ['02:00.0'] }, 3],
    ['disable_acs_redir by ids', { disableAcsRedir: ['pci:10b5:8749'] }, 3],
    ['disable_acs_redir by path', { disableAcsRedir: ['00:01.0/00.0/00.0'] }, 3],
    ['config_acs, all on again after it', { disableAcsRedir: ['02:00.0'], configAcs: '11101@2:0.0' }, 4],
    ['config_acs, x is what firmware left', { configAcs: 'xxxxx01@02:00.0' }, 3],
    ['a word written later', { overrides: { '02:00.0': 0 } }, 3],
  ])('%s', (_what, more, count) => {
    expect(groupsOf(tree, { ...ON, ...more })).toHaveLength(count);
  });
});

describe('what a setup costs', () => {
  test('redirects switched off at a port join what is below it with the port', () => {
    const port = { acs: { cap: 0x7f, ctrl: 0 } };
    const machine = twoRootMachine({
      acs: { RP0: port.acs, D0: port.acs, D1: port.acs, RP1: port.acs, RP2: port.acs },
    });
    const topology = new Topology(machine);
    const before = iommuGroups(topology, ON);
    const merged = mergedGroups(before, iommuGroups(topology, { ...ON, disableAcsRedir: [NODE.D1] }));
    expect(merged.map(({ from }) => partitionOf(from))).toEqual([[NODE.D1, NODE.B]]);
    expect(merged[0]?.group.functions.map(({ bdf }) => bdf)).toEqual([NODE.D1, NODE.B]);
    expect(mergedGroups(before, before)).toEqual([]);
  });
});

describe('the table of chips (drivers §3.3.1)', () => {
  const isolates = (fn: Partial<FunctionDescription>, kind: FunctionKind, setup = ON, cpu = INTEL): boolean => {
    const tree = [
      testBridge('0000:00:01.0', 'root-port', [1, 1], CAN),
      testFunction('0000:01:00.0', kind, { multifunction: true, ...fn }),
      testFunction('0000:01:00.1', kind, { ...fn }),
    ];
    return groupsOf(tree, setup, cpu).length === 3;
  };
  const portIsolates = (fn: Partial<FunctionDescription>, setup = ON): boolean => {
    const tree = [testBridge('0000:00:01.0', 'root-port', [1, 1], fn), testFunction('0000:01:00.0', 'endpoint')];
    return groupsOf(tree, setup).length === 2;
  };

  test.each([
    [0x8086, 0x10fb, true],
    [0x8086, 0x1521, true],
    [0x8086, 0x1525, false],
    [0x14e4, 0x1761, true],
    [0x8088, 0x1001, true],
    [0x8088, 0x1002, false],
    [0x1d17, 0x9083, true],
    [0x1af4, 0x1000, false],
  ])('two functions of %i:%i: %s', (vendor, device, expected) => {
    expect(isolates({ vendor, device }, 'endpoint')).toBe(expected);
    expect(isolates({ vendor, device }, 'endpoint', { iommu: true, quirks: false })).toBe(false);
  });

  test('a network chip that is known not to isolate does not, whatever its registers say', () => {
    expect(isolates({ vendor: 0x8088, device: 0x1002, acs: { cap: 0x1d, ctrl: 0 } }, 'endpoint')).toBe(false);
  });

  test.each([
    [0x8086, 0x8d18, {}, true],
    [0x8086, 0x8d18, { intelPchRegisters: false }, false],
    [0x8086, 0x2f02, {}, false],
    [0x177d, 0xa100, {}, true],
    [0x177d, 0x9000, {}, false],
    [0x1d17, 0x0721, {}, true],
    [0x1d17, 0x0722, {}, false],
    [0x1c36, 0x0031, {}, true],
    [0x17cb, 0x0400, {}, true],
    [0x0014, 0x7a29, {}, true],
  ])('a root port %i:%i without the capability, %j: %s', (vendor, device, more, expected) => {
    expect(portIsolates({ vendor, device }, { iommu: true, ...more })).toBe(expected);
  });

  test('integrated functions of Intel isolate', () => {
    expect(isolates({ vendor: 0x8086, device: 1, pcieType: PcieType.RootComplexEndpoint }, 'rciep')).toBe(true);
    expect(isolates({ vendor: 0x1022, device: 1 }, 'rciep')).toBe(false);
  });

  test.each([
    ['as it is', { cap: 0x5f, ctrl: 0x00 }, {}, true],
    ['its redirects taken back', { cap: 0x5f, ctrl: 0x00 }, { disableAcsRedir: ['00:01.0'] }, false],
    ['without the capability', null, {}, false],
  ])('an Intel port with registers of 32 bits, %s', (_what, acs, more, expected) => {
    expect(portIsolates({ vendor: 0x8086, device: 0xa110, acs }, { iommu: true, ...more })).toBe(expected);
  });

  test('an AMD southbridge isolates on the root bus of a machine with an IOMMU of AMD', () => {
    const sb = { vendor: 0x1002, device: 0x4385 };
    const tree = [testFunction('0000:00:14.0', 'pci-device', sb), testFunction('0000:00:14.3', 'pci-device', sb)];
    expect(groupsOf(tree, ON, AMD_ZEN)).toHaveLength(2);
    expect(groupsOf(tree, ON, INTEL)).toHaveLength(1);
  });

  test('behind its bridge to conventional PCI all use one name, though the bridge isolates', () => {
    const sb = { vendor: 0x1002, device: 0x4384, multifunction: true };
    const tree = [
      testBridge('0000:00:14.4', 'pci-bridge', [1, 1], sb),
      testFunction('0000:00:14.0', 'pci-device', { vendor: 0x1002, device: 0x4385, multifunction: true }),
      testFunction('0000:01:05.0', 'pci-device'),
      testFunction('0000:01:06.0', 'pci-device'),
    ];
    expect(groupsOf(tree, ON, AMD_ZEN)).toEqual(['00:14.0', '00:14.4 01:05.0 01:06.0']);
  });

  test('IDT switches: validation of sources does not count', () => {
    const port = { acs: { cap: 0x1d, ctrl: 0x1c } };
    const setup = { iommu: true, overrides: { '02:00.0': 0x1c } };
    const tree = (device: number) => [
      testBridge('0000:00:01.0', 'root-port', [1, 3], CAN),
      testBridge('0000:01:00.0', 'upstream-port', [2, 3]),
      testBridge('0000:02:00.0', 'downstream-port', [3, 3], { ...port, vendor: 0x111d, device }),
      testFunction('0000:03:00.0', 'endpoint'),
    ];
    expect(groupsOf(tree(0x80b5), setup)).toHaveLength(4);
    expect(groupsOf(tree(0x80b6), setup)).toHaveLength(3);
  });
});
