import { describe, expect, test } from 'vitest';
import { realDumps, realDumpsState } from '../topology/test-real-dumps.ts';
import { iommuGroups } from './index.ts';
import { partitionOf, stripListing } from './test-listings.ts';

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
    ['pci/intel-lenovo-tb3-egpu-2x3090.lspci-v.txt', 30],
  ])('%s: %i groups', (name, count) => {
    const { topology, listed } = stripListing(name);
    expect(listed).toHaveLength(count);
    expect(partitionOf(iommuGroups(topology, { iommu: true }))).toEqual(listed);
  });
});
