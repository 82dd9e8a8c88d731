import { describe, expect, test } from 'vitest';
import { type ListedGroup, readGroupListing, readMachine, Topology } from '../topology/index.ts';
import { readRealDump, realDumps, realDumpsState } from '../topology/test-real-dumps.ts';
import { groupDifferences, type IommuGroup, iommuGroups } from './index.ts';
import { partition, partitionOf, stripListing } from './test-listings.ts';
import { x99 } from './test-x99.ts';

test(`real dumps ${realDumpsState}`, () => {
  expect(realDumps === null).toBe(realDumpsState !== 'present');
});

const ON = { iommu: true };

describe.skipIf(realDumps === null)('groups of real machines, as their kernels made them', () => {
  test.each([
    ['pci/amd-threadripperpro-wrx80-2xa6000.lspci-nnDvvvxxx.txt', 73],
    ['pci/intel-kabylake-microtca-pex8748.report.txt', 17],
    ['pci/amd-renoir-asus-pn51.lspci-vvv.txt', 24],
    ['pci/intel-coffeelake-h-hp-laptop-optane.lspci-vvv.txt', 27],
    ['pci/intel-cometlake-u-dell-laptop.lspci-vv.txt', 16],
    ['pci/amd-carrizo-hp-laptop.lspci-vvv.txt', 10],
    ['pci/intel-lenovo-tb3-egpu-2x3090.lspci-v.txt', 30],
    ['config/amd-radeon-pro-wx3100-and-rootport.lspci-vvvxxx.txt', 2],
    ['config/intel-x99-rootports-acs-quirk.lspci-vvvv-xxxx.txt', 3],
    ['config/nvme-samsung-pm174x.lspci-vvvxxxx.txt', 1],
  ])('%s: %i groups', (name, count) => {
    const { topology, listed } = stripListing(name);
    expect(listed).toHaveLength(count);
    expect(partitionOf(iommuGroups(topology, ON))).toEqual(listed);
  });

  test('the boot log of a machine has the groups of its dump, numbers too', () => {
    const dump = readRealDump('pci/amd-threadripperpro-wrx80-2xa6000.lspci-nnDvvvxxx.txt');
    const log = readGroupListing(readRealDump('pci/amd-threadripperpro-wrx80-2xa6000.dmesg-iommu.txt'));
    expect(log).toEqual(readMachine(dump).listedGroups);
    const groups = iommuGroups(new Topology(readMachine(dump).description), ON);
    expect(groupDifferences(groups, log)).toEqual([]);
  });

  test('a boot log from before functions went and another was plugged in: they are all that differs', () => {
    const report = readRealDump('pci/intel-kabylake-microtca-pex8748.report.txt');
    const log = readGroupListing(report.slice(report.indexOf('Adding to iommu group') - 100));
    const groups = iommuGroups(new Topology(readMachine(report).description), ON);
    const differences = groupDifferences(groups, log);
    expect(differences.map(({ kind }) => kind)).toEqual(differences.map(() => 'not-in-machine'));
    // The switch hid its DMA functions later; the card in 0a:00.0 came at run time.
    expect(differences.flatMap(({ functions }) => functions)).toEqual([
      ...[1, 2, 3, 4].map((func) => `0000:01:00.${func}`),
      '0000:0a:00.0',
    ]);
    expect(differences.map(({ listed }) => listed[0]?.id)).toEqual([2, 2, 2, 2, 2]);
  });

  test('a listing of names alone: what is certain agrees with it, what differs rests on what is not told', () => {
    const text = readRealDump('pci/amd-raphael-x670e-asus.iommu-groups.txt');
    const listed = readGroupListing(text);
    expect(listed).toHaveLength(27);
    const groups = iommuGroups(new Topology(readMachine(text).description), ON);
    expectCertainOnesRight(groups, listed);
    const differences = groupDifferences(groups, listed);
    expect(differences.filter(({ kind }) => kind.startsWith('not'))).toEqual([]);
    expect(differences.length).toBeGreaterThan(0);
    for (const { why } of differences) expect(why.at(-1)).toMatch(/^it rests on what is not known/u);
  });
});

/** Every group that rests on nothing unknown is one of the list. */
function expectCertainOnesRight(groups: readonly IommuGroup[], listed: readonly ListedGroup[]): void {
  const lines = partition(listed.map(({ devices }) => devices));
  const certain = partitionOf(groups.filter(({ restsOn }) => restsOn.length === 0));
  expect(certain.filter((line) => !lines.includes(line))).toEqual([]);
}

describe('an X99 desktop under two kernels', () => {
  const topology = new Topology(x99);
  const SPLIT = ['0000:08:01.0 0000:09:00.0', '0000:0c:00.0', '0000:0d:00.0'];
  const LUMP =
    '0000:00:1c.0 0000:00:1c.3 0000:00:1c.4 0000:00:1c.6 0000:07:00.0 0000:08:01.0 0000:08:03.0 0000:08:04.0 ' +
    '0000:09:00.0 0000:0c:00.0 0000:0d:00.0';

  test.each([
    ['5.8: the chipset isolates its ports', {}, SPLIT],
    ['5.9: its registers are not enabled', { intelPchRegisters: false }, [LUMP]],
    ['without the table of chips', { quirks: false }, [LUMP]],
  ])('%s', (_kernel, more, expected) => {
    const lines = partitionOf(iommuGroups(topology, { ...ON, ...more }));
    expect(lines).toEqual(expect.arrayContaining(expected));
    expect(lines).toContain('0000:00:01.0');
    expect(lines).toContain('0000:00:01.1');
  });

  test.skipIf(realDumps === null)('those are the groups in the report of both kernels', () => {
    const text = readRealDump('pci/intel-x99-kernel5.9-iommu-groups-regression.txt');
    const [before = '', after = ''] = text.slice(0, text.indexOf('lspci -vvvv')).split('And with 5.9');
    const lines = (part: string): readonly string[] => partition(readGroupListing(part).map(({ devices }) => devices));
    expect(lines(before)).toEqual(SPLIT);
    expect(lines(after)).toEqual([LUMP]);
  });
});
