import { describe, expect, test } from 'vitest';
import { DEFAULT_SCENARIO, planStress } from '@dmabuf-emu/stress';
import { isByDesign, type Names } from '#dist/result/violations.js';

const LOST = 7;
const SOUND = 8;
const { plan } = planStress(DEFAULT_SCENARIO);
const names: Names = {
  engineOn: (index) => ['odp0', 'iommufd0'][index],
  taskOf: () => undefined,
  bufferOf: (label) => label,
  isLost: (ino) => ino === LOST,
  blamed: () => undefined,
};

describe('a fault is by design', () => {
  test.each([
    ['iommu-fault', 1, undefined, true],
    ['iommu-fault', 0, undefined, false],
    ['aer-ur', 0, LOST, true],
    ['aer-cto', 0, LOST, true],
    ['aer-ur', 0, SOUND, false],
    ['aer-ur', 0, undefined, false],
    ['use-after-revoke', 0, LOST, false],
    ['foreign-write', 0, LOST, false],
    ['stale-iotlb-hit', 1, undefined, false],
  ] as const)('%s by function %i, buffer %s: %s', (kind, requester, ino, expected) => {
    expect(isByDesign(plan, names, { kind, requester, ...(ino === undefined ? {} : { grant: { ino } }) })).toBe(
      expected,
    );
  });
});
