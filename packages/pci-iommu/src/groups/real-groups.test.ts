import { describe, expect, test } from 'vitest';
import { describeLspci, parseLspci, Topology } from '../topology/index.ts';
import { readRealDump, realDumps, realDumpsState } from '../topology/test-real-dumps.ts';
import { type IommuGroup, iommuGroups } from './index.ts';

/** A partition as text that can be compared: one sorted line a group. */
function partition(groups: Iterable<readonly string[]>): readonly string[] {
  return [...groups]
    .map((names) => names.toSorted((a, b) => a.localeCompare(b)).join(' '))
    .toSorted((a, b) => a.localeCompare(b));
}

function computed(groups: readonly IommuGroup[]): readonly string[] {
  return partition(groups.map(({ functions }) => functions.map(({ bdf }) => bdf)));
}

/** The groups that a listing itself tells, and its text without them. */
function split(text: string): { listed: readonly string[]; rest: string } {
  const groups = new Map<number, string[]>();
  for (const { bdf, iommuGroup } of parseLspci(text).functions) {
    if (iommuGroup !== null) groups.set(iommuGroup, [...(groups.get(iommuGroup) ?? []), bdf]);
  }
  const rest = text.split('\n').filter((line) => !line.includes('IOMMU group'));
  return { listed: partition(groups.values()), rest: rest.join('\n') };
}

test(`real dumps ${realDumpsState}`, () => {
  expect(realDumps === null).toBe(realDumpsState !== 'present');
});

describe.skipIf(realDumps === null)('groups of real machines, as their kernels made them', () => {
  test.each([
    ['pci/amd-threadripperpro-wrx80-2xa6000.lspci-nnDvvvxxx.txt', 73],
    ['pci/intel-kabylake-microtca-pex8748.report.txt', 17],
    ['pci/amd-renoir-asus-pn51.lspci-vvv.txt', 24],
    ['pci/intel-coffeelake-h-hp-laptop-optane.lspci-vvv.txt', 27],
    ['pci/intel-cometlake-u-dell-laptop.lspci-vv.txt', 16],
    ['pci/amd-carrizo-hp-laptop.lspci-vvv.txt', 10],
  ])('%s: %i groups', (name, count) => {
    const { listed, rest } = split(readRealDump(name));
    expect(listed).toHaveLength(count);
    const topology = new Topology(describeLspci(rest, { name: 'dump' }).description);
    expect(computed(iommuGroups(topology, { iommu: true }))).toEqual(listed);
  });
});
