import { describe, expect, test } from 'vitest';
import { type AcsKnowledge, type CpuDescription, type MachineDescription, Topology } from '../topology/index.ts';
import {
  AMD_ZEN,
  INTEL,
  NODE,
  REDIRECT,
  testBridge,
  testFunction,
  testHostBridge,
  testMachine,
  twoRootMachine,
} from '../topology/test-machine.ts';
import { explainP2p, type P2pExplanation, type P2pSetup, whitelistWithout } from './index.ts';

const OFF: P2pSetup = { iommu: false };
const ON: P2pSetup = { iommu: true };

function explain(machine: MachineDescription, from: string, to: string, setup: P2pSetup = OFF): P2pExplanation {
  const topology = new Topology(machine);
  return explainP2p(topology, topology.function(from), topology.function(to), setup);
}

function words(found: P2pExplanation): string[] {
  return found.path.map((hop) => `${hop.role} ${hop.function.bdf}${hop.decides ? ` ${hop.redirects}` : ''}`);
}

describe('two cards with switches of their own below one switch, host bridge 8086:4c43, as a real kernel 7.0 had them', () => {
  const acs: AcsKnowledge = { cap: 0x7f, ctrl: 0 };
  const machine = testMachine(
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
  const ports = ['0000:0d:01.0', '0000:0b:00.0', '0000:0b:10.0', '0000:11:01.0'];

  test('redirects on: not supported, each hop named, and what would help', () => {
    const found = explain(machine, '0e:00.0', '12:00.0', ON);
    expect(found).toMatchObject({ type: 'NOT_SUPPORTED', distance: 8, restsOn: [] });
    expect(found.because).toBe(
      `request redirect on ${ports[0]}, request redirect on ${ports[1]}, request redirect on ${ports[2]} and ` +
        `request redirect on ${ports[3]} send it up; host bridge 8086:4c43 (0000:00) is not on the kernel's list and the ` +
        'CPU is not AMD Zen',
    );
    expect(words(found)).toEqual([
      'provider 0000:0e:00.0',
      'bridge 0000:0d:01.0 true',
      'bridge 0000:0c:00.0',
      'bridge 0000:0b:00.0 true',
      'common 0000:0a:00.0',
      'bridge 0000:0b:10.0 true',
      'bridge 0000:10:00.0',
      'bridge 0000:11:01.0 true',
      'client 0000:12:00.0',
    ]);
    expect(found.remedies).toEqual([
      `pci=disable_acs_redir=${ports.join(';')} gives BUS_ADDR`,
      'no IOMMU (intel_iommu=off or amd_iommu=off) gives BUS_ADDR',
    ]);
  });

  test('as written to the ports with setpci on one boot: on, then off', () => {
    const written = (word: number): Record<string, number> => Object.fromEntries(ports.map((bdf) => [bdf, word]));
    expect(explain(machine, '0e:00.0', '12:00.0', { iommu: true, overrides: written(0x0c) }).type).toBe(
      'NOT_SUPPORTED',
    );
    const off = explain(machine, '0e:00.0', '12:00.0', { iommu: true, overrides: written(0) });
    expect(off).toMatchObject({ type: 'BUS_ADDR', distance: 8, remedies: [] });
    expect(off.because).toBe('0000:0a:00.0 (upstream-port) is above both and nothing on the way redirects');
  });

  test('described while an IOMMU was in use: what firmware left is not known, so the remedy says under what condition', () => {
    const acsThen: AcsKnowledge = { cap: 0x7f, ctrl: 0x1d };
    const functions = machine.functions.map((fn) => (fn.acs === null ? fn : { ...fn, acs: acsThen }));
    expect(explain({ ...machine, functions }, '0e:00.0', '12:00.0', ON).remedies).toEqual([
      `pci=disable_acs_redir=${ports.join(';')} gives BUS_ADDR`,
      'no IOMMU (intel_iommu=off or amd_iommu=off), where firmware leaves ACS off, gives BUS_ADDR',
    ]);
  });

  test('a redirect that is taken back at one port only does not help', () => {
    const setup = { iommu: true, disableAcsRedir: ports.slice(1) };
    const found = explain(machine, '0e:00.0', '12:00.0', setup);
    expect(found.because).toContain('request redirect on 0000:0d:01.0 sends it up');
    expect(found.remedies[0]).toBe('pci=disable_acs_redir=0000:0d:01.0 gives BUS_ADDR');
  });
});

describe('GPUs below two root complexes of an Ice Lake-SP server, kernel 5.14 and later', () => {
  const branch = (bus: number) => {
    const at = (offset: number): string => `0000:${(bus + offset).toString(16)}`;
    return [
      testFunction(`${at(0)}:00.0`, 'rciep', { vendor: 0x8086, device: 0x09a2, class: 0x088000 }),
      testBridge(`${at(0)}:02.0`, 'root-port', [bus + 1, bus + 3], { vendor: 0x8086, device: 0x347a }),
      testBridge(`${at(1)}:00.0`, 'upstream-port', [bus + 2, bus + 3], { vendor: 0x1002 }),
      testBridge(`${at(2)}:00.0`, 'downstream-port', [bus + 3, bus + 3], { vendor: 0x1002 }),
      testFunction(`${at(3)}:00.0`, 'endpoint', { vendor: 0x1002 }),
    ];
  };
  const machine = testMachine([...branch(0x16), ...branch(0x64)], {
    cpu: INTEL,
    hostBridges: [testHostBridge(0x16), testHostBridge(0x64)],
  });

  test('without 09a2 in the list: not supported, a newer kernel helps', () => {
    const whitelist = whitelistWithout('8086:09a2');
    expect(explain(machine, '19:00.0', '67:00.0', { iommu: true, whitelist })).toMatchObject({
      type: 'NOT_SUPPORTED',
      because:
        "they share no bridge; host bridge 8086:09a2 (0000:16) is not on the kernel's list and the CPU is not AMD Zen",
      remedies: ['a kernel with the newest list of host bridges gives THRU_HOST_BRIDGE'],
    });
  });

  test('with it: through both host bridges', () => {
    expect(explain(machine, '19:00.0', '67:00.0', ON)).toMatchObject({
      type: 'THRU_HOST_BRIDGE',
      distance: 8,
      because:
        "they share no bridge; host bridge 8086:09a2 (0000:16) is on the kernel's list and host bridge 8086:09a2 " +
        "(0000:64) is on the kernel's list",
      remedies: [],
    });
  });
});

describe('reasons', () => {
  test.each<[string, Parameters<typeof twoRootMachine>[0], string, string, string, string]>([
    ['own peer', {}, NODE.A0, NODE.A0, 'BUS_ADDR', 'the function is its own peer and nothing on the way redirects'],
    [
      'own redirect',
      { acs: { A0: REDIRECT } },
      NODE.A0,
      NODE.A0,
      'THRU_HOST_BRIDGE',
      'request redirect on 0000:03:00.0 sends it up; the CPU is AMD Zen (family 0x19), which forwards between its root ports',
    ],
    [
      'egress control',
      { acs: { D1: { cap: 0x7f, ctrl: 0x20 } }, cpu: INTEL },
      NODE.A0,
      NODE.B,
      'NOT_SUPPORTED',
      "egress control on 0000:02:01.0 sends it up; host bridge 8086:1234 (0000:00) is not on the kernel's list and the CPU is not AMD Zen",
    ],
    [
      'list of one bridge only',
      { roots: [0x2f00, 0x2030], cpu: INTEL },
      NODE.A0,
      NODE.D,
      'NOT_SUPPORTED',
      "they share no bridge; host bridge 8086:2f00 (0000:00) is on the kernel's list only for traffic within it and the CPU is not AMD Zen",
    ],
  ])('%s', (_what, options, from, to, type, because) => {
    expect(explain(twoRootMachine(options), from, to)).toMatchObject({ type, because });
  });

  test.each([
    ['AMD', 0x16, 'NOT_SUPPORTED'],
    ['AMD', 0x17, 'THRU_HOST_BRIDGE'],
    ['Hygon', 0x18, 'NOT_SUPPORTED'],
    ['unknown', 0x16, 'NOT_SUPPORTED'],
    ['unknown', 0x17, 'UNKNOWN'],
    ['ARM', null, 'NOT_SUPPORTED'],
  ])('a CPU of %s, family %s: %s', (vendor, family, type) => {
    expect(explain(twoRootMachine({ cpu: { vendor, family } }), NODE.A0, NODE.C).type).toBe(type);
  });

  test('a root bus whose first function is neither 00.0 nor a root port', () => {
    const machine = testMachine([testFunction('0000:00:02.0', 'rciep'), testFunction('0000:00:03.0', 'rciep')], {
      cpu: INTEL,
    });
    expect(explain(machine, '00:02.0', '00:03.0').because).toBe(
      'they share no bridge; nothing on root bus 0000:00 tells which host bridge it is (its first function 0000:00:02.0 is neither 00.0 nor a root port) and the CPU is not AMD Zen',
    );
  });
});

describe('what is not known', () => {
  const UNKNOWN_CPU: CpuDescription = { vendor: 'AMD', family: null };

  test('ACS on the way', () => {
    const found = explain(twoRootMachine({ acs: { D0: 'unknown', D1: 'unknown' }, cpu: INTEL }), NODE.A0, NODE.B);
    expect(found).toMatchObject({
      type: 'UNKNOWN',
      restsOn: ['ACS of 0000:02:00.0', 'ACS of 0000:02:01.0'],
      remedies: ['pci=disable_acs_redir=0000:02:00.0;0000:02:01.0 gives BUS_ADDR'],
    });
    expect(found.because).toContain('it is not known whether 0000:02:00.0 or 0000:02:01.0 redirect it');
  });

  test('ACS off the way, or beside a redirect that is known, does not matter', () => {
    const machine = twoRootMachine({ acs: { RP0: 'unknown', D0: 'unknown', D1: REDIRECT }, cpu: AMD_ZEN });
    expect(explain(machine, NODE.A0, NODE.B)).toMatchObject({ type: 'THRU_HOST_BRIDGE', restsOn: [] });
    expect(explain(machine, NODE.A0, NODE.A0)).toMatchObject({ type: 'BUS_ADDR', restsOn: [] });
  });

  test('the CPU, where the host bridge is asked', () => {
    const machine = twoRootMachine({ cpu: UNKNOWN_CPU });
    expect(explain(machine, NODE.A0, NODE.C)).toMatchObject({
      type: 'UNKNOWN',
      restsOn: ['the family of the AMD CPU'],
    });
    expect(explain(machine, NODE.A0, NODE.B)).toMatchObject({ type: 'BUS_ADDR', restsOn: [] });
  });

  test('ids of the host bridge', () => {
    const machine = twoRootMachine({ cpu: INTEL });
    const functions = machine.functions.map((fn) => (fn.bdf === '0000:00:00.0' ? { ...fn, device: null } : fn));
    expect(explain({ ...machine, functions }, NODE.A0, NODE.C)).toMatchObject({
      type: 'UNKNOWN',
      restsOn: ['the ids of 0000:00:00.0'],
      because:
        "they share no bridge; host bridge 8086:???? (0000:00) may be on the kernel's list and the CPU is not AMD Zen",
    });
  });
});

describe('kinds of functions', () => {
  const acs: AcsKnowledge = { cap: 0x5f, ctrl: 0x04 };
  const vfs = testMachine(
    [
      testBridge('0000:00:01.0', 'root-port', [1, 2]),
      testFunction('0000:01:00.0', 'endpoint', {
        sriov: { totalVfs: 2, numVfs: 2, vfOffset: 0x100, vfStride: 1, vfDevice: 0x1001 },
      }),
      testFunction('0000:02:00.0', 'vf', { physfn: '0000:01:00.0' }),
      testFunction('0000:02:00.1', 'vf', { physfn: '0000:01:00.0' }),
    ],
    { cpu: INTEL },
  );

  test.each([
    ['01:00.0', '02:00.0'],
    ['02:00.0', '02:00.1'],
  ])('a virtual function is where its physical one is: %s and %s', (from, to) => {
    expect(explain(vfs, from, to)).toMatchObject({ type: 'BUS_ADDR', distance: 2 });
  });

  test('its way starts with itself: ACS of the root port counts, that of its physical function does not', () => {
    const functions = vfs.functions.map((fn) => (fn.kind === 'vf' ? fn : { ...fn, acs }));
    const found = explain({ ...vfs, functions }, '02:00.0', '02:00.1');
    expect(found.type).toBe('NOT_SUPPORTED');
    expect(words(found)).toEqual(['provider 0000:02:00.0', 'common 0000:00:01.0 true', 'client 0000:02:00.1']);
  });

  test('behind a bridge to conventional PCI', () => {
    const machine = testMachine(
      [
        testBridge('0000:00:01.0', 'root-port', [1, 2]),
        testBridge('0000:01:00.0', 'pcie-to-pci-bridge', [2, 2]),
        testFunction('0000:02:00.0', 'pci-device'),
        testFunction('0000:02:01.0', 'pci-device'),
      ],
      { cpu: INTEL },
    );
    expect(explain(machine, '02:00.0', '02:01.0')).toMatchObject({
      type: 'BUS_ADDR',
      distance: 2,
      because: '0000:01:00.0 (pcie-to-pci-bridge) is above both and nothing on the way redirects',
    });
  });

  test('behind a volume management device: a host bridge of its own, on no list', () => {
    const machine = testMachine(
      [
        testFunction('0000:00:00.0', 'host-bridge', { vendor: 0x8086, device: 0x09a2, class: 0x060000 }),
        testBridge('0000:00:01.0', 'root-port', [1, 1], { vendor: 0x8086 }),
        testFunction('0000:01:00.0', 'endpoint'),
        testFunction('0000:00:0e.0', 'rciep', { vendor: 0x8086, device: 0x467f }),
        testBridge('10000:e0:06.0', 'root-port', [0xe1, 0xe1], { vendor: 0x8086, device: 0x464d }),
        testFunction('10000:e1:00.0', 'endpoint'),
      ],
      { cpu: INTEL, hostBridges: [testHostBridge(0), testHostBridge(0xe0, { domain: 0x10000 })] },
    );
    expect(explain(machine, '01:00.0', '10000:e1:00.0')).toMatchObject({ type: 'NOT_SUPPORTED', distance: 4 });
    expect(explain(machine, '01:00.0', '10000:e1:00.0').because).toContain('host bridge 8086:464d (10000:e0) is not');
  });

  test('the same bus numbers in two domains are no common bridge', () => {
    const machine = testMachine(
      ['0000', '0001'].flatMap((domain) => [
        testBridge(`${domain}:00:01.0`, 'root-port', [1, 1]),
        testFunction(`${domain}:01:00.0`, 'endpoint'),
      ]),
      { hostBridges: [testHostBridge(0), testHostBridge(0, { domain: 1 })] },
    );
    expect(explain(machine, '0000:01:00.0', '0001:01:00.0')).toMatchObject({ type: 'THRU_HOST_BRIDGE', distance: 4 });
  });

  test('a tree of which it is not told where it is attached', () => {
    const machine = testMachine(
      [
        testBridge('0000:00:01.0', 'root-port', [1, 1]),
        testFunction('0000:01:00.0', 'endpoint'),
        testFunction('0000:05:00.0', 'endpoint'),
        testFunction('0000:05:00.1', 'endpoint', { acs: REDIRECT }),
      ],
      { cpu: INTEL, hostBridges: [testHostBridge(0), testHostBridge(5, { assumed: true })] },
    );
    for (const to of ['01:00.0', '05:00.1']) expect(explain(machine, '05:00.0', to).type).toBe('UNKNOWN');
    expect(explain(machine, '05:00.0', '01:00.0').restsOn).toEqual(['the bridge above bus 0000:05']);
    expect(explain(machine, '05:00.0', '05:00.1').because).toBe(
      'request redirect on 0000:05:00.1 sends it up; it is not known which host bridge is above bus 0000:05, and the CPU is not AMD Zen',
    );
    expect(explain({ ...machine, cpu: AMD_ZEN }, '05:00.0', '05:00.1').type).toBe('THRU_HOST_BRIDGE');
    // Redirected for sure, the one host bridge that is known decides if it is on no list at all.
    expect(explain(machine, '05:00.1', '01:00.0').type).toBe('NOT_SUPPORTED');
    const listed = testFunction('0000:00:00.0', 'host-bridge', { vendor: 0x8086, device: 0x2f00, class: 0x060000 });
    const functions = [listed, ...machine.functions];
    expect(explain({ ...machine, functions }, '05:00.1', '01:00.0').type).toBe('UNKNOWN');
  });
});
