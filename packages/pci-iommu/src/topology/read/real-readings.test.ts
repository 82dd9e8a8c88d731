import { describe, expect, test } from 'vitest';
import { readRealDumpBytes, realDumpNames, realDumps, realDumpsState, readRealDump } from '../test-real-dumps.ts';
import { type MachineReading, readGroupListing, readMachine, Topology } from '../index.ts';

/** Facts of one file, most of them counted by hand or told by the file's source. */
interface Facts {
  readonly format: string;
  readonly functions: number;
  /** Bridges with bus numbers. */
  readonly bridges: number;
  /** Root buses, and how many of them are assumed. */
  readonly roots: readonly [number, number];
  /** Functions with ACS registers. */
  readonly acs: number;
  readonly groups: number | null;
  readonly cpu: string;
  /** What is not told: number of unknowns by kind. */
  readonly unknown: Readonly<Record<string, number>>;
  /** Lines of the warnings. */
  readonly warnings: readonly (number | null)[];
}

const FILES: Readonly<Record<string, Facts>> = {
  'pci/amd-carrizo-hp-laptop.lspci-vvv.txt': {
    format: 'lspci',
    functions: 25,
    bridges: 3,
    roots: [1, 0],
    acs: 0,
    groups: 10,
    cpu: 'AMD 15',
    unknown: { ids: 25, windows: 1 },
    warnings: [],
  },
  'pci/amd-genoa-2s-asus-esc8000a-rtx6000ada-cx7.lspci-tv.md': {
    format: 'lspci',
    functions: 198,
    bridges: 59,
    roots: [8, 0],
    acs: 2,
    groups: null,
    cpu: 'AMD 19',
    unknown: { flr: 190, bars: 190, ids: 98, windows: 1, class: 131, 'pcie-type': 190, acs: 190 },
    warnings: [1142],
  },
  'pci/amd-raphael-x670e-asus.iommu-groups.txt': {
    format: 'group-listing',
    functions: 62,
    bridges: 0,
    roots: [24, 23],
    acs: 0,
    groups: 27,
    cpu: 'AMD 19',
    unknown: { flr: 62, bars: 62, 'bus-numbers': 27, windows: 1, 'pcie-type': 62, acs: 62, parent: 42 },
    warnings: [],
  },
  'pci/amd-renoir-asus-pn51.lspci-vvv.txt': {
    format: 'lspci',
    functions: 34,
    bridges: 6,
    roots: [1, 0],
    acs: 16,
    groups: 24,
    cpu: 'AMD 17',
    unknown: { ids: 34, windows: 1 },
    warnings: [],
  },
  'pci/amd-threadripperpro-wrx80-2xa6000.dmesg-iommu.txt': {
    format: 'boot-log',
    functions: 92,
    bridges: 0,
    roots: [26, 25],
    acs: 0,
    groups: 73,
    cpu: 'AMD -',
    unknown: { flr: 92, bars: 92, windows: 1, cpu: 1, ids: 92, class: 92, 'pcie-type': 92, acs: 92, parent: 72 },
    warnings: [],
  },
  'pci/amd-threadripperpro-wrx80-2xa6000.lspci-nnDvvvxxx.txt': {
    format: 'lspci',
    functions: 96,
    bridges: 22,
    roots: [4, 0],
    acs: 32,
    groups: 73,
    cpu: 'AMD 19',
    unknown: { windows: 1 },
    warnings: [],
  },
  'pci/amd-threadripperpro-wrx80-2xa6000.lspci-nntv.txt': {
    format: 'lspci-tree',
    functions: 96,
    bridges: 22,
    roots: [4, 0],
    acs: 0,
    groups: null,
    cpu: 'AMD 19',
    unknown: { flr: 96, bars: 96, windows: 1, class: 74, 'pcie-type': 96, acs: 96, ids: 22 },
    warnings: [],
  },
  'pci/arm-neoverse-n1sdp-pex8749.lspci-vvvxxx.txt': {
    format: 'lspci',
    functions: 16,
    bridges: 9,
    roots: [2, 0],
    acs: 6,
    groups: null,
    cpu: 'ARM -',
    unknown: { windows: 1 },
    warnings: [],
  },
  'pci/intel-coffeelake-h-hp-laptop-optane.lspci-vvv.txt': {
    format: 'lspci',
    functions: 34,
    bridges: 11,
    roots: [1, 0],
    acs: 9,
    groups: 27,
    cpu: 'Intel -',
    unknown: { ids: 32, windows: 1 },
    warnings: [],
  },
  'pci/intel-cometlake-u-dell-laptop.lspci-vv.txt': {
    format: 'lspci',
    functions: 22,
    bridges: 2,
    roots: [1, 0],
    acs: 2,
    groups: 16,
    cpu: 'Intel -',
    unknown: { ids: 19, windows: 1 },
    warnings: [],
  },
  'pci/intel-h61-desktop.lspci-nnvvvxxxx.txt': {
    format: 'lspci',
    functions: 11,
    bridges: 1,
    roots: [1, 0],
    acs: 0,
    groups: null,
    cpu: 'Intel -',
    unknown: { windows: 1 },
    warnings: [],
  },
  'pci/intel-icelake-sp-2s-dell-connectx5.lspci-vvv.txt': {
    format: 'lspci',
    functions: 320,
    bridges: 6,
    roots: [14, 0],
    acs: 7,
    groups: null,
    cpu: 'Intel -',
    unknown: { ids: 21, windows: 1 },
    warnings: [],
  },
  'pci/intel-kabylake-microtca-pex8748.report.txt': {
    format: 'lspci',
    functions: 42,
    bridges: 24,
    roots: [1, 0],
    acs: 20,
    groups: 17,
    cpu: 'Intel -',
    unknown: {},
    warnings: [2971, 2973, 2975, 2977, 3466, 3609],
  },
  'pci/intel-laptop-hotplug-before.lspci.txt': {
    format: 'lspci',
    functions: 20,
    bridges: 1,
    roots: [1, 0],
    acs: 1,
    groups: null,
    cpu: 'Intel -',
    unknown: { windows: 1 },
    warnings: [],
  },
  'pci/intel-lenovo-tb3-egpu-2x3090.lspci-tv.txt': {
    format: 'lspci-tree',
    functions: 47,
    bridges: 19,
    roots: [1, 0],
    acs: 0,
    groups: null,
    cpu: 'Intel -',
    unknown: { flr: 47, bars: 47, ids: 47, windows: 1, class: 28, 'pcie-type': 47, acs: 47 },
    warnings: [],
  },
  'pci/intel-lenovo-tb3-egpu-2x3090.lspci-v.txt': {
    format: 'lspci',
    functions: 47,
    bridges: 19,
    roots: [1, 0],
    acs: 0,
    groups: 30,
    cpu: 'Intel -',
    unknown: { flr: 31, ids: 47, windows: 1, 'bar-index': 26, acs: 8 },
    warnings: [],
  },
  'pci/intel-x99-kernel5.9-iommu-groups-regression.txt': {
    format: 'lspci',
    functions: 13,
    bridges: 3,
    roots: [5, 4],
    acs: 2,
    groups: 6,
    cpu: 'Intel -',
    unknown: { flr: 10, bars: 10, 'bus-numbers': 7, windows: 1, 'pcie-type': 10, acs: 10, parent: 6 },
    warnings: [16],
  },
  'pci/p2p-verdict.arc-b70.plx-acs-on-off.txt': {
    format: 'boot-log',
    functions: 6,
    bridges: 0,
    roots: [5, 4],
    acs: 0,
    groups: null,
    cpu: 'Intel -',
    unknown: { flr: 6, bars: 6, windows: 1, 'pcie-type': 6, acs: 6, parent: 5, ids: 5, class: 5 },
    warnings: [],
  },
  'pci/p2p-verdict.icelake-sp-amd-gpus.txt': {
    format: 'lspci-tree',
    functions: 11,
    bridges: 3,
    roots: [4, 2],
    acs: 0,
    groups: null,
    cpu: 'Intel -',
    unknown: { flr: 11, bars: 11, windows: 1, parent: 2, ids: 4, class: 7, 'pcie-type': 11, acs: 11 },
    warnings: [50],
  },
  'config/amd-radeon-pro-wx3100-and-rootport.lspci-vvvxxx.txt': {
    format: 'lspci',
    functions: 2,
    bridges: 1,
    roots: [1, 0],
    acs: 1,
    groups: 2,
    cpu: 'AMD 17',
    unknown: { windows: 1 },
    warnings: [],
  },
  'config/intel-skylake-igpu-ats-pri-pasid.lspci-vvvxxxx.txt': {
    format: 'lspci',
    functions: 1,
    bridges: 0,
    roots: [1, 0],
    acs: 0,
    groups: null,
    cpu: 'Intel -',
    unknown: { windows: 1 },
    warnings: [],
  },
  'config/intel-sunrisepoint-rootport-acs.lspci-vvvxxxx.txt': {
    format: 'lspci',
    functions: 1,
    bridges: 1,
    roots: [1, 0],
    acs: 1,
    groups: null,
    cpu: 'Intel -',
    unknown: { windows: 1 },
    warnings: [],
  },
  'config/intel-x99-rootports-acs-quirk.lspci-vvvv-xxxx.txt': {
    format: 'lspci',
    functions: 3,
    bridges: 3,
    roots: [1, 0],
    acs: 2,
    groups: 3,
    cpu: 'Intel -',
    unknown: { windows: 1 },
    warnings: [],
  },
  'config/mellanox-connectx3pro-and-haswell-ep-rootport.lspci-vvvxxxx.txt': {
    format: 'lspci',
    functions: 2,
    bridges: 1,
    roots: [1, 0],
    acs: 1,
    groups: null,
    cpu: 'Intel -',
    unknown: { windows: 1, 'bar-size': 1 },
    warnings: [],
  },
  'config/mellanox-connectx5ex-sriov-flr.lspci-vv-xxx.txt': {
    format: 'lspci',
    functions: 2,
    bridges: 0,
    roots: [1, 1],
    acs: 0,
    groups: null,
    cpu: 'unknown -',
    unknown: { flr: 1, ids: 1, bars: 1, windows: 1, cpu: 1, parent: 2, acs: 2, 'bar-size': 1, 'pcie-type': 1 },
    warnings: [12, 21],
  },
  'config/nvme-samsung-pm174x.lspci-vvvxxxx.txt': {
    format: 'lspci',
    functions: 1,
    bridges: 0,
    roots: [1, 1],
    acs: 0,
    groups: 1,
    cpu: 'unknown -',
    unknown: { windows: 1, cpu: 1, parent: 1 },
    warnings: [],
  },
  'config/plx-pex8749-switch-ports.lspci-vvvxxx.txt': {
    format: 'lspci',
    functions: 7,
    bridges: 7,
    roots: [1, 1],
    acs: 6,
    groups: null,
    cpu: 'unknown -',
    unknown: { windows: 1, cpu: 1, parent: 1 },
    warnings: [],
  },
  'config/plx-pex8796-switch-upstream.lspci-vvvxxxx.txt': {
    format: 'lspci',
    functions: 1,
    bridges: 1,
    roots: [1, 1],
    acs: 0,
    groups: null,
    cpu: 'unknown -',
    unknown: { windows: 1, cpu: 1, parent: 1, 'bar-size': 1 },
    warnings: [],
  },
};

const DEVICE_NAME = /(?:^|\s)((?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]) +[A-Z0-9]/gimu;
const DRAWN_NAME = /[-+\\][0-9a-f]{2}\.[0-7](?=[ -]|$)/gmu;
const FULL_NAME = /\b[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]\b/giu;
const GROUP_WORDS = /^\s*IOMMU group: \d+\r?\n|, IOMMU group \d+/gmu;

function read(name: string): MachineReading {
  return readMachine(readRealDumpBytes(name), { name: 'dump' });
}

function factsOf({ source, description, unknowns, warnings, listedGroups }: MachineReading): Facts {
  const { functions, hostBridges, cpu } = description;
  const unknown: Record<string, number> = {};
  for (const { what } of unknowns) unknown[what] = (unknown[what] ?? 0) + 1;
  return {
    format: source.format,
    functions: functions.length,
    bridges: functions.filter((fn) => fn.secondary !== undefined).length,
    roots: [hostBridges.length, hostBridges.filter((bridge) => bridge.assumed === true).length],
    acs: functions.filter(({ acs }) => acs !== null && acs !== 'unknown').length,
    groups: listedGroups?.length ?? null,
    cpu: `${cpu.vendor} ${cpu.family?.toString(16) ?? '-'}`,
    unknown,
    warnings: warnings.map(({ line }) => line),
  };
}

test(`real dumps ${realDumpsState}`, () => {
  expect(realDumps === null).toBe(realDumpsState !== 'present');
});

describe.skipIf(realDumps === null)('files of real machines', () => {
  const texts = realDumpNames(/\.(?:txt|md)$/u);
  const names = Object.keys(FILES);

  test('every file is in the table', () => {
    expect(texts.toSorted()).toEqual(names.toSorted());
  });

  test.each(names)('%s: what it tells and what it does not', (name) => {
    const reading = read(name);
    expect(factsOf(reading)).toEqual(FILES[name]);
    expect(new Topology(reading.description).functions).toHaveLength(reading.description.functions.length);
  });

  test.each(names)('%s: every function that it names is in the machine, or a warning says why not', (name) => {
    const text = readRealDump(name);
    const { description, warnings } = read(name);
    const known = new Set(description.functions.map((fn) => fn.bdf));
    const full = (bdf: string): string => (bdf.length < 12 ? `0000:${bdf}` : bdf).toLowerCase();
    const named = [
      ...[...text.matchAll(DEVICE_NAME)].map(([, bdf = '']) => full(bdf)),
      ...(text.match(FULL_NAME) ?? []).map((bdf) => full(bdf)),
    ];
    const lost = named.filter((bdf) => !known.has(bdf) && !warnings.some((warning) => warning.text.includes(bdf)));
    expect(named.length + (text.match(DRAWN_NAME) ?? []).length).toBeGreaterThanOrEqual(known.size);
    expect([...new Set(lost)]).toEqual([]);
  });

  test.each(names.filter((name) => (FILES[name]?.groups ?? null) !== null))(
    '%s: without its groups it is the same machine, and lists none',
    (name) => {
      const { format } = FILES[name] ?? {};
      const listed = read(name).listedGroups ?? [];
      expect(listed.flatMap(({ devices }) => devices).length).toBeGreaterThan(0);
      if (format !== 'lspci') return;
      const text = readRealDump(name).replaceAll(GROUP_WORDS, '');
      const { description, listedGroups } = readMachine(text, { name: 'dump' });
      expect(description).toEqual(read(name).description);
      if (!/Adding to iommu group|IOMMU Group/u.test(text)) expect(listedGroups).toBeNull();
      else expect(listedGroups).not.toBeNull();
    },
  );

  test.each(names.filter((name) => (FILES[name]?.groups ?? null) !== null))('%s as a list of groups alone', (name) => {
    const known = new Set(read(name).description.functions.map((fn) => fn.bdf));
    const groups = readGroupListing(readRealDump(name)).map(({ id, devices }) => ({
      id,
      devices: devices.filter((bdf) => known.has(bdf)),
    }));
    expect(groups.filter(({ devices }) => devices.length > 0)).toEqual(read(name).listedGroups);
  });

  test.each(names.filter((name) => name.endsWith('tv.txt')))('%s: every function that it draws', (name) => {
    expect(read(name).description.functions).toHaveLength(readRealDump(name).match(DRAWN_NAME)?.length ?? 0);
  });

  test('amd-genoa: drawing, details of the cards, and the ACS of all ports joined', () => {
    const { description } = read('pci/amd-genoa-2s-asus-esc8000a-rtx6000ada-cx7.lspci-tv.md');
    const topology = new Topology(description);
    const gpu = topology.function('41:00.0');
    expect(topology.pathToRoot(gpu).map(String)).toEqual(['0000:41:00.0', '0000:40:01.1']);
    expect(gpu.bar(1)).toMatchObject({ size: 64 * 2 ** 30, start: 0x2f000000000 });
    expect(gpu.description).toMatchObject({ numaNode: 0, acs: null });
    expect(topology.function('c1:00.0').description.numaNode).toBe(1);
    expect(topology.function('40:01.1').description).toMatchObject({ acs: 'unknown', acsControlIfAny: 0 });
    expect(topology.function('81:00.0').acs).toEqual({ cap: 0, ctrl: 0 });
  });

  test('intel-kabylake: host bridge windows as the kernel tells them', () => {
    const { description } = read('pci/intel-kabylake-microtca-pex8748.report.txt');
    expect(description.hostBridges).toEqual([
      {
        domain: 0,
        bus: 0,
        busEnd: 0x18,
        windows: [
          { start: 0xa0000, end: 0xbffff, busOffset: 0 },
          { start: 0x90000000, end: 0xdfffffff, busOffset: 0 },
          { start: 0xfd000000, end: 0xfe7fffff, busOffset: 0 },
        ],
      },
    ]);
  });

  test('intel-x99: the groups of the first of two kernels', () => {
    const { listedGroups } = read('pci/intel-x99-kernel5.9-iommu-groups-regression.txt');
    expect(listedGroups).toEqual([
      { id: 13, devices: ['0000:00:01.0'] },
      { id: 14, devices: ['0000:00:01.1'] },
      { id: 31, devices: ['0000:00:1c.4'] },
      { id: 40, devices: ['0000:08:01.0', '0000:09:00.0'] },
      { id: 43, devices: ['0000:0c:00.0'] },
      { id: 44, devices: ['0000:0d:00.0'] },
    ]);
  });

  test('p2p-verdict.arc-b70: the hops that the messages name, with no tree', () => {
    const { description } = read('pci/p2p-verdict.arc-b70.plx-acs-on-off.txt');
    expect(description.functions.map(({ bdf, kind }) => `${bdf} ${kind}`)).toEqual([
      '0000:00:00.0 host-bridge',
      '0000:0a:00.0 unknown-device',
      '0000:0b:00.0 unknown-device',
      '0000:0b:10.0 unknown-device',
      '0000:0d:01.0 unknown-device',
      '0000:11:01.0 unknown-device',
    ]);
    expect(description.functions[0]).toMatchObject({ vendor: 0x8086, device: 0x4c43 });
  });

  test('p2p-verdict.icelake-sp: the drawn branch, and what the prose tells of it', () => {
    const { description } = read('pci/p2p-verdict.icelake-sp-amd-gpus.txt');
    const topology = new Topology(description);
    expect(topology.pathToRoot(topology.function('e5:00.0')).map(String)).toEqual([
      '0000:e5:00.0',
      '0000:e4:00.0',
      '0000:e3:00.0',
      '0000:e2:02.0',
    ]);
    expect(topology.function('e5:00.0')).toMatchObject({ vendor: 0x1002, device: 0x740f });
    expect(topology.function('e2:02.0')).toMatchObject({ vendor: 0x8086, device: 0x347a });
    expect(topology.has('67:00.0') && topology.has('19:00.0')).toBe(true);
  });
});
