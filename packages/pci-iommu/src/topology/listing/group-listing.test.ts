import { describe, expect, test } from 'vitest';
import { readGroupListing, readMachine } from '../index.ts';

describe('group listings', () => {
  test.each([
    ['headings', 'IOMMU Group 3:\n\t00:02.0 VGA [0300]: X\n\t00:02.1 Audio: X\nIOMMU Group 4:\n\t01:00.0 X: Y\n'],
    ['headings without blanks', 'IOMMU Group 3\n00:02.0 VGA: X\n00:02.1 Audio: X\n\nIOMMU Group 4\n01:00.0 X: Y\n'],
    ['marked headings', '### Group 3 ###\n    00:02.0 VGA: X\n    00:02.1 A: X\n### Group 4 ###\n    01:00.0 X: Y\n'],
    ['columns', 'Group 3:  [1:2]  00:02.0  VGA\n          [1:2] [R] 00:02.1  A\nGroup 4:  [1:2] 01:00.0  X\n'],
    ['one line each', 'IOMMU Group 3 00:02.0 V: X\nIOMMU Group 3 00:02.1 A: X\nIOMMU Group 4 01:00.0 X: Y\n'],
    ['lspci', '00:02.0 V: X\n\tIOMMU group: 3\n\n00:02.1 A: X\n\tIOMMU group: 3\n\n01:00.0 B: X\n\tIOMMU group: 4\n'],
    [
      'flags of lspci -v',
      '00:02.0 V: X\n\tFlags: fast devsel, IOMMU group 3\n\n00:02.1 A: X\n\tFlags: IRQ 1, IOMMU group 3\n\n01:00.0 B: X\n\tFlags: bus master, NUMA node 0, IOMMU group 4\n',
    ],
    [
      'a boot log',
      '[ 1.2] pci 0000:00:02.0: Adding to iommu group 3\n[ 1.2] pci 0000:00:02.1: Adding to iommu group 3\n[ 1.2] pci 0000:01:00.0: Adding to iommu group 4\n',
    ],
    [
      'an old boot log',
      'iommu: Adding device 0000:00:02.0 to group 3\niommu: Adding device 0000:00:02.1 to group 3\niommu: Adding device 0000:01:00.0 to group 4\n',
    ],
    [
      'paths',
      '/sys/kernel/iommu_groups/3/devices/0000:00:02.0\n/sys/kernel/iommu_groups/3/devices/0000:00:02.1\n0000:01:00.0/iommu_group -> ../../../kernel/iommu_groups/4\n',
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

  test('what stands below the last heading and a blank line is in no group', () => {
    expect(readGroupListing('IOMMU Group 3:\n\t00:02.0 V: X\n\n00:02.0 V: X\n01:00.0 B: X\n')).toEqual([
      { id: 3, devices: ['0000:00:02.0'] },
    ]);
  });
});

describe('several listings in one text', () => {
  const older = 'IOMMU Group 1:\n\t00:1c.0 P: X\nIOMMU Group 2:\n\t01:00.0 B: X\n';
  const newer = 'IOMMU Group 7:\n\t00:1c.4 P: X\n\t00:1c.0 P: X\n\t01:00.0 B: X\n';
  const olderGroups = [
    { id: 1, devices: ['0000:00:1c.0'] },
    { id: 2, devices: ['0000:01:00.0'] },
  ];

  test.each([['And with 5.9:\n'], ['']])('after %j', (between) => {
    expect(readGroupListing(older + between + newer)).toEqual(olderGroups);
    const { warnings } = readMachine(older + between + newer);
    expect(warnings).toEqual([
      {
        line: between === '' ? 6 : 7,
        text: 'IOMMU groups listed again, with others for 0000:00:1c.0, 0000:01:00.0; the first listing is kept',
      },
    ]);
  });

  test('a listing joins the state that it agrees with', () => {
    const details = '\n00:1c.4 P: X\n\tIOMMU group: 3\n\n00:1c.0 P: X\n\tIOMMU group: 1\n';
    expect(readGroupListing(`${older}newer:\n${newer}${details}`)).toEqual([
      ...olderGroups,
      { id: 3, devices: ['0000:00:1c.4'] },
    ]);
  });

  test('the log of a machine that agrees adds what the listing does not have', () => {
    const log = '[ 1.2] pci 0000:00:1c.0: Adding to iommu group 1\n[ 1.2] pci 0000:00:1f.0: Adding to iommu group 9\n';
    expect(readGroupListing(older + log).map(({ id }) => id)).toEqual([1, 2, 9]);
  });
});

test('functions of a listing in columns, with ids and class', () => {
  const { source, description } = readMachine(
    'Group 1:   [1022:14db] [R] 00:01.1  PCI bridge                Device 14db\n           [10de:2206] [R] 01:00.0  VGA compatible controller   GA102 [GeForce RTX 3080]\nUSB:       [1d6b:0002]     Bus 001 Device 001                  root hub\n',
  );
  expect(source.format).toBe('group-listing');
  expect(description.functions).toMatchObject([
    { bdf: '0000:00:01.1', vendor: 0x1022, device: 0x14db, class: 0x060400, kind: 'unknown-bridge' },
    { bdf: '0000:01:00.0', vendor: 0x10de, device: 0x2206, class: 0x030000, kind: 'unknown-device' },
  ]);
});
