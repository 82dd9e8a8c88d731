import { describe, expect, test } from 'vitest';
import { Topology } from '../topology/index.ts';
import { groupDifferences, iommuGroups } from './index.ts';
import { x99 } from './test-x99.ts';

const topology = new Topology(x99);
const isolated = iommuGroups(topology, { iommu: true });
const lumped = iommuGroups(topology, { iommu: true, intelPchRegisters: false });
const listed = (groups: typeof isolated) =>
  groups.map(({ id, functions }) => ({ id: 100 - id, devices: functions.map(({ bdf }) => bdf) }));

describe('differences from the groups of a real kernel', () => {
  test('none, whatever the numbers', () => {
    expect(groupDifferences(isolated, listed(isolated))).toEqual([]);
  });

  test('computed as one, listed as several: who joined, by way of whom', () => {
    const [difference, ...others] = groupDifferences(lumped, listed(isolated));
    expect(others).toEqual([]);
    expect(difference).toMatchObject({ kind: 'joined', computed: [expect.arrayContaining(['0000:0c:00.0'])] });
    expect(difference?.listed).toHaveLength(10);
    expect(difference?.why).toEqual([
      expect.stringMatching(
        /^0000:00:1c\.3, 0000:00:1c\.4, 0000:00:1c\.6 joined: .*, nor does 0000:00:1c\.0 of the same device$/u,
      ),
      expect.stringMatching(
        /^0000:07:00\.0, 0000:08:01\.0, 0000:08:03\.0 and 1 more joined: 0000:00:1c\.3 above it does not/u,
      ),
      '0000:09:00.0 joined: 0000:08:01.0 above it does not isolate: it has no ACS',
      '0000:0c:00.0 joined: 0000:00:1c.4 above it does not isolate: the registers of its chipset that could are not enabled',
      '0000:0d:00.0 joined: 0000:00:1c.6 above it does not isolate: the registers of its chipset that could are not enabled',
      'the kernel that made the list kept them apart',
    ]);
  });

  test('computed as several, listed as one', () => {
    const [difference] = groupDifferences(isolated, listed(lumped));
    expect(difference).toMatchObject({
      kind: 'parted',
      listed: [{ devices: expect.arrayContaining(['0000:0d:00.0']) }],
    });
    expect(difference?.why).toEqual([
      'nothing in the description joins 0000:00:1c.0, 0000:00:1c.3, 0000:00:1c.4 and 7 more; the kernel that made the list did not isolate them',
    ]);
  });

  test('functions that one side does not have', () => {
    const list = listed(isolated).filter(({ devices }) => !devices.includes('0000:0d:00.0'));
    expect(groupDifferences(isolated, [...list, { id: 7, devices: ['0000:0e:00.0'] }])).toMatchObject([
      { kind: 'not-listed', functions: ['0000:0d:00.0'] },
      { kind: 'not-in-machine', functions: ['0000:0e:00.0'] },
    ]);
  });
});
