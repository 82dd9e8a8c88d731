import { compareGroups } from '#dist/topo/group-comparison.js';
import type { ListedGroup } from '@dmabuf-emu/pci-iommu';
import { describe, expect, test } from 'vitest';
import { viewOf } from './test-view.ts';

const view = viewOf('wrx80-2gpu', { iommu: true });
const own: readonly ListedGroup[] = view.groups.map(({ id, functions }) => ({
  id,
  devices: functions.map(({ bdf }) => bdf),
}));
const [a, b] = own as [ListedGroup, ListedGroup];
const rest = own.slice(2);

test('the same groups in any order and under any number', () => {
  const listed = own.map(({ devices }, id) => ({ id: id + 100, devices: devices.toReversed() })).toReversed();
  expect(compareGroups(view, listed)).toEqual({ listed: own.length, equal: own.length, differences: [] });
});

describe('not counted as the same', () => {
  test('one that is several here', () => {
    const { listed, equal, differences } = compareGroups(view, [
      ...rest,
      { id: 900, devices: [...a.devices, ...b.devices] },
    ]);
    expect([listed, equal]).toEqual([own.length - 1, own.length - 2]);
    expect(differences.map(({ kind }) => kind)).toEqual(['parted']);
  });

  test('one with a function that is not here', () => {
    const { equal, differences } = compareGroups(view, [...rest, b, { ...a, devices: [...a.devices, '0000:fe:00.0'] }]);
    expect(equal).toBe(own.length - 1);
    expect(differences).toMatchObject([{ kind: 'not-in-machine', functions: ['0000:fe:00.0'] }]);
  });

  test('one that lacks a function of the group here', () => {
    const large = own.find(({ devices }) => devices.length > 1)!;
    const listed = own.map((group) => (group === large ? { ...group, devices: group.devices.slice(1) } : group));
    const { equal, differences } = compareGroups(view, listed);
    expect(equal).toBe(own.length - 1);
    expect(differences).toMatchObject([{ kind: 'not-listed', functions: [large.devices[0]] }]);
  });
});
