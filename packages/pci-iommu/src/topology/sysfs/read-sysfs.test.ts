import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import {
  builtinMachine,
  readLiveMachine,
  readMachine,
  readMachineFile,
  readSysfs,
  Topology,
  TopologyError,
} from '../index.ts';
import { readRealDumpBytes, realDumps, realDumpsState } from '../test-real-dumps.ts';
import { makeTar, type TarContent } from './test-tar.ts';

const scratch = mkdtempSync(join(tmpdir(), 'sysfs-'));
afterAll(() => rmSync(scratch, { recursive: true }));

function row(start: number, end: number, flags: number): string {
  return [start, end, flags].map((value) => `0x${value.toString(16).padStart(16, '0')}`).join(' ');
}

function rows(count: number, filled: Readonly<Record<number, string>> = {}): string {
  return `${Array.from({ length: count }, (_, index) => filled[index] ?? row(0, 0, 0)).join('\n')}\n`;
}

/** 64 bytes, as an unprivileged reader gets them. */
function config(bytes: Readonly<Record<number, number>>): Uint8Array {
  const all = new Uint8Array(64);
  for (const [at, byte] of Object.entries(bytes)) all[Number(at)] = byte;
  return all;
}

const PORT = 'sys/devices/pci0000:40/0000:40:01.1';
const NIC = `${PORT}/0000:41:00.0`;
const VF = `${PORT}/0000:41:00.2`;
const RC = 'sys/devices/pci0000:40/0000:40:00.0';

/** A root port, a NIC and its virtual function; the port's registers are not in the copy, bus addresses are 64 KiB lower. */
const FILES: Readonly<Record<string, TarContent>> = {
  'proc/iomem':
    '00001000-0009ffff : System RAM\nf0000000-f1ffffff : PCI Bus 0000:40\n  f0000000-f0ffffff : PCI Bus 0000:41\n' +
    '100000000000-10ffffffffff : PCI Bus 0000:40\n  100000000000-100001ffffff : PCI Bus 0000:41\n',
  'proc/cpuinfo': 'processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n',
  [`${RC}/vendor`]: '0x1022\n',
  [`${RC}/device`]: '0x1480\n',
  [`${RC}/class`]: '0x060000\n',
  [`${RC}/resource`]: rows(13),
  [`${PORT}/vendor`]: '0x1022\n',
  [`${PORT}/device`]: '0x1483\n',
  [`${PORT}/class`]: '0x060400\n',
  [`${PORT}/numa_node`]: '-1\n',
  [`${PORT}/resource`]: rows(17, {
    14: row(0xf000_0000, 0xf0ff_ffff, 0x200),
    15: row(0x1000_0000_0000, 0x1000_01ff_ffff, 0x10_2201),
  }),
  [`${PORT}/iommu_group`]: { target: '../../../kernel/iommu_groups/7' },
  [`${NIC}/config`]: config({ 0: 0xb3, 1: 0x15, 2: 0x21, 3: 0x10, 0xa: 0x07, 0xb: 0x02, 0xe: 0x80 }),
  [`${NIC}/resource`]: rows(13, {
    0: row(0x1000_0000_0000, 0x1000_00ff_ffff, 0x14_220c),
    6: row(0xf000_0000, 0xf00f_ffff, 0x2000_e200),
  }),
  [`${NIC}/numa_node`]: '2\n',
  [`${NIC}/iommu_group`]: { target: '../../../../kernel/iommu_groups/8' },
  [`${NIC}/driver`]: { target: '../../../../bus/pci/drivers/mlx5_core' },
  [`${NIC}/reset_method`]: 'flr bus\n',
  [`${NIC}/sriov_totalvfs`]: '4\n',
  [`${NIC}/sriov_numvfs`]: '1\n',
  [`${NIC}/sriov_offset`]: '2\n',
  [`${NIC}/sriov_stride`]: '1\n',
  [`${NIC}/sriov_vf_device`]: '101e\n',
  [`${VF}/config`]: config({ 0: 0xff, 1: 0xff, 2: 0xff, 3: 0xff, 0xa: 0x07, 0xb: 0x02 }),
  [`${VF}/vendor`]: '0x15b3\n',
  [`${VF}/device`]: '0x101e\n',
  [`${VF}/resource`]: rows(13, { 0: row(0x1000_0100_0000, 0x1000_010f_ffff, 0x14_220c) }),
  [`${VF}/physfn`]: { target: '../0000:41:00.0' },
  [`${VF}/iommu_group`]: { target: '../../../../kernel/iommu_groups/9' },
};
const LINKS: Readonly<Record<string, TarContent>> = Object.fromEntries(
  [RC, PORT, NIC, VF].map((path) => [
    `sys/bus/pci/devices/${path.slice(path.lastIndexOf('/') + 1)}`,
    { target: `../../../${path.slice('sys/'.length)}` },
  ]),
);

function writeFiles(root: string, files: Readonly<Record<string, TarContent>>): string {
  for (const [path, content] of Object.entries(files)) {
    const at = join(root, path);
    mkdirSync(dirname(at), { recursive: true });
    if (typeof content === 'object' && 'target' in content) symlinkSync(content.target, at);
    else writeFileSync(at, content);
  }
  return root;
}

const folder = writeFiles(join(scratch, 'box'), { ...FILES, ...LINKS });

describe('a copy of sysfs', () => {
  const reading = readSysfs(folder);

  test('ids, classes, tree, addresses and windows', () => {
    const shown = reading.description.functions.map(
      ({ bdf, vendor, device, class: code, kind, secondary, subordinate }) => [
        bdf,
        vendor,
        device,
        code,
        kind,
        secondary,
        subordinate,
      ],
    );
    expect(shown).toEqual([
      ['0000:40:00.0', 0x1022, 0x1480, 0x060000, 'host-bridge', undefined, undefined],
      ['0000:40:01.1', 0x1022, 0x1483, 0x060400, 'unknown-bridge', 0x41, 0x41],
      ['0000:41:00.0', 0x15b3, 0x1021, 0x020700, 'unknown-device', undefined, undefined],
      ['0000:41:00.2', 0x15b3, 0x101e, 0x020700, 'vf', undefined, undefined],
    ]);
    const [, port, nic, vf] = reading.description.functions;
    expect(port?.windows).toEqual([
      { kind: 'mem', start: 0xf000_0000, end: 0xf0ff_ffff },
      { kind: 'prefetch', start: 0x1000_0000_0000, end: 0x1000_01ff_ffff },
    ]);
    expect(nic).toMatchObject({ flr: true, numaNode: 2, rom: { start: 0, size: 0x10_0000 } });
    expect(nic?.sriov).toEqual({ totalVfs: 4, numVfs: 1, vfOffset: 2, vfStride: 1, vfDevice: 0x101e });
    expect(vf).toMatchObject({ physfn: '0000:41:00.0' });
    expect(vf?.bars).toEqual([
      { index: 0, start: 0x1000_0100_0000, size: 0x10_0000, kind: 'mem64', prefetchable: true },
    ]);
  });

  test('windows of host bridges, the processor and the IOMMU groups', () => {
    expect(reading.description.hostBridges).toEqual([
      {
        domain: 0,
        bus: 0x40,
        busEnd: 0x41,
        windows: [
          { start: 0xf000_0000, end: 0xf1ff_ffff, busOffset: 0 },
          { start: 0x1000_0000_0000, end: 0x10ff_ffff_ffff, busOffset: 0 },
        ],
      },
    ]);
    expect(reading.description.cpu).toEqual({ vendor: 'AMD', family: 25 });
    expect(reading.listedGroups).toEqual([
      { id: 7, devices: ['0000:40:01.1'] },
      { id: 8, devices: ['0000:41:00.0'] },
      { id: 9, devices: ['0000:41:00.2'] },
    ]);
  });

  test('capabilities beyond 64 bytes are not known, and nothing is said of root buses that the tree shows', () => {
    expect(new Topology(reading.description).functions.map((fn) => fn.acs)).toEqual(
      Array.from({ length: 4 }, () => 'unknown'),
    );
    expect(reading.unknowns.filter(({ what }) => what === 'acs')).toHaveLength(4);
    expect(reading.unknowns.filter(({ what }) => what === 'parent' || what === 'bars')).toEqual([]);
  });

  test.each([
    ['/sys', join(folder, 'sys')],
    ['/sys/bus/pci/devices', join(folder, 'sys/bus/pci/devices')],
    ['a folder that holds one', scratch],
    ['its device tree without links', writeFiles(join(scratch, 'tree-only'), FILES)],
  ])('read as %s it is the same', (_what, path) => {
    expect(readSysfs(path).description).toEqual(reading.description);
  });

  test('in an archive it is the same, packed or not', () => {
    const archive = makeTar({ ...prefixed(LINKS), ...prefixed(FILES) });
    const read = readMachine(archive, { name: 'machine' });
    expect(read).toEqual(reading);
    expect(readMachine(gzipSync(archive))).toEqual(reading);
  });

  test('a file or folder by its path takes its name', () => {
    const path = join(scratch, 'lab-7.sysfs.tar.gz');
    writeFileSync(path, gzipSync(makeTar(FILES)));
    expect(readMachineFile(path).description).toEqual({ ...reading.description, name: 'lab-7', title: 'lab-7' });
    expect(readMachineFile(folder).description.name).toBe('box');
  });

  test('folders of functions alone: no tree, so bridges without registers lead nowhere', () => {
    const flat = writeFiles(join(scratch, 'flat'), {
      '0000:40:00.0/config': config({ 0: 0x22, 1: 0x10, 0xa: 0x00, 0xb: 0x06 }),
      '0000:40:01.1/config': config({
        0: 0x22,
        1: 0x10,
        0xa: 0x04,
        0xb: 0x06,
        0xe: 1,
        0x18: 0x40,
        0x19: 0x41,
        0x1a: 0x42,
      }),
      '0000:41:00.0/config': config({ 0: 0xb3, 1: 0x15, 0xb: 0x02 }),
    });
    const { description, unknowns } = readSysfs(flat);
    expect(description.functions.map((fn) => fn.secondary)).toEqual([undefined, 0x41, undefined]);
    expect(unknowns.filter(({ what }) => what === 'bus-numbers')).toEqual([]);
  });

  test('without registers and resources, only names and classes are known', () => {
    const bare = writeFiles(join(scratch, 'bare'), {
      '0000:41:00.0/vendor': '0x15b3\n',
      '0000:41:00.0/class': '0x020000\n',
    });
    const { description, unknowns } = readSysfs(bare);
    expect(description.functions[0]).toMatchObject({ vendor: 0x15b3, device: null, class: 0x020000, bars: [] });
    expect(unknowns.map(({ what }) => what)).toEqual(expect.arrayContaining(['ids', 'bars', 'parent', 'acs']));
  });

  test('a folder without functions is refused', () => {
    const empty = join(scratch, 'empty');
    mkdirSync(empty);
    expect(() => readSysfs(empty)).toThrow(TopologyError);
    expect(() => readLiveMachine(empty)).toThrow(/expected folders of PCI functions/u);
  });

  test('the running machine is read from /sys', () => {
    const live = readLiveMachine(join(folder, 'sys'));
    expect(live.source).toEqual({ name: 'live', format: 'sysfs' });
    expect(live.description).toEqual({ ...reading.description, name: 'live', title: 'The running machine' });
  });
});

function prefixed(files: Readonly<Record<string, TarContent>>): Record<string, TarContent> {
  return Object.fromEntries(Object.entries(files).map(([path, content]) => [`./some-box/${path}`, content]));
}

test(`real snapshots ${realDumpsState}`, () => {
  expect(realDumps === null).toBe(realDumpsState !== 'present');
});

describe.skipIf(realDumps === null)('snapshots of real machines', () => {
  test.each([
    ['pci/intel-2s-hwloc-pcilocality.sysfs.tar.gz', 37, ['0000:00', '0000:40']],
    ['pci/intel-2s-nec-aurora-8ve-plx.sysfs.tar.gz', 29, ['0000:17', '0000:3a', '0000:5d']],
  ] as const)('%s', (name, functions, roots) => {
    const { description, source, unknowns } = readMachine(readRealDumpBytes(name));
    const topology = new Topology(description);
    expect(source.format).toBe('sysfs');
    expect(topology.functions).toHaveLength(functions);
    expect(topology.hostBridges.map(String)).toEqual(roots);
    expect(unknowns.filter(({ what }) => what === 'acs')).toHaveLength(functions);
    expect(unknowns.filter(({ what }) => what === 'bars')).toEqual([]);
  });

  test('the machine with 8 vector engines is the one that is built in', () => {
    const { description } = readMachine(readRealDumpBytes('pci/intel-2s-nec-aurora-8ve-plx.sysfs.tar.gz'));
    const topology = new Topology(description);
    for (const fn of builtinMachine('aurora-8ve').functions) {
      const {
        vendor,
        device,
        class: code,
        bars,
        windows,
        secondary,
        subordinate,
      } = topology.function(fn.bdf).description;
      expect({ vendor, device, code, bars, windows, secondary, subordinate }).toEqual({
        vendor: fn.vendor,
        device: fn.device,
        code: fn.class,
        bars: fn.bars,
        windows: fn.windows,
        secondary: fn.secondary,
        subordinate: fn.subordinate,
      });
    }
  });
});
