import { describe, expect, test } from 'vitest';
import { builtinMachine, readGroupListing, readMachine, stringifyMachine, TopologyError } from '../index.ts';

describe('one entry for what people have', () => {
  test('a machine description in JSON', () => {
    const machine = builtinMachine('wrx80-2gpu');
    const reading = readMachine(stringifyMachine(machine));
    expect(reading.source).toEqual({ name: 'machine', format: 'machine' });
    expect(reading.description).toEqual(machine);
  });

  test('output of lspci, with the groups it lists and what it does not tell', () => {
    const reading = readMachine(
      '00:00.0 Host bridge [0600]: Intel Corporation X [8086:1234]\n\tFlags: fast devsel\n\tIOMMU group: 3\n\n00:02.0 VGA compatible controller: X\n',
      { name: 'box' },
    );
    expect(reading.source).toEqual({ name: 'box', format: 'lspci' });
    expect(reading.listedGroups).toEqual([{ id: 3, devices: ['0000:00:00.0'] }]);
    expect(reading.unknowns.map(({ bdf, what }) => `${bdf ?? '-'} ${what}`)).toEqual([
      '0000:00:02.0 flr',
      '0000:00:02.0 bars',
      '- windows',
      '0000:00:02.0 ids',
      '0000:00:02.0 pcie-type',
      '0000:00:02.0 acs',
    ]);
  });

  test('bytes, and a drawing alone', () => {
    const reading = readMachine(new TextEncoder().encode('-[0000:00]-+-00.0\n           \\-01.0-[01]----00.0\n'));
    expect(reading.source.format).toBe('lspci-tree');
    expect(reading.description.functions.map((fn) => fn.bdf)).toEqual(['0000:00:00.0', '0000:00:01.0', '0000:01:00.0']);
  });

  test.each([['{"a": 1,\n}'], ['prose']])('%j is refused', (text) => {
    expect(() => readMachine(text)).toThrow(TopologyError);
  });
});

describe('group listings', () => {
  test.each([
    ['headings', 'IOMMU Group 3:\n\t00:02.0 VGA [0300]\n\t00:02.1 Audio\nIOMMU Group 4:\n\t01:00.0 X\n'],
    ['columns', 'Group 3:  [1:2]  00:02.0  VGA\n          [1:2] [R] 00:02.1  A\nGroup 4:  [1:2] 01:00.0  X\n'],
    ['lspci', '00:02.0 V: X\n\tIOMMU group: 3\n\n00:02.1 A: X\n\tIOMMU group: 3\n\n01:00.0 B: X\n\tIOMMU group: 4\n'],
    [
      'a boot log',
      '[ 1.2] pci 0000:00:02.0: Adding to iommu group 3\n[ 1.2] pci 0000:00:02.1: Adding to iommu group 3\n[ 1.2] pci 0000:01:00.0: Adding to iommu group 4\n',
    ],
  ])('as %s', (_form, text) => {
    expect(readGroupListing(text)).toEqual([
      { id: 3, devices: ['0000:00:02.0', '0000:00:02.1'] },
      { id: 4, devices: ['0000:01:00.0'] },
    ]);
  });

  test('a text without groups is refused', () => {
    expect(() => readGroupListing('hello')).toThrow(/line 1: expected IOMMU groups/u);
  });
});
