import { CapAt, CapId } from '@dmabuf-emu/pci-iommu';
import { describe, expect, test } from 'vitest';
import { ConfigModel, OWNER_HEADER, OWNER_NONE } from '#dist/config/config-model.js';
import { rig } from '../testing/rig.fixture.ts';
import { BDF } from '../testing/topology.fixture.ts';

// drivers §4.1
describe('the pieces of a transfer', () => {
  const cases: [what: string, position: number, count: number, piece: number][] = [
    ['a dword', 0x10, 4, 4],
    ['more than a dword', 0x10, 64, 4],
    ['a word', 0x04, 2, 2],
    ['three bytes', 0x04, 3, 2],
    ['a byte', 0x05, 1, 1],
    ['from an odd offset', 0x05, 4, 1],
    ['from the upper word', 0x06, 8, 2],
    ['to the end of the capability', CapAt.AF + 4, 4, 2],
    ['behind the capability', CapAt.AF + 6, 2, 2],
    ['to the end of the header', 0x3c, 8, 4],
  ];
  test.each(cases)('%s', (_, position, count, piece) => {
    using r = rig({ bdf: BDF.LEGACY });
    expect(new ConfigModel(r.dut.fn.config).piece(position, count)).toBe(piece);
  });
});

test('every byte belongs to the header, to a capability or to nobody', () => {
  using r = rig();
  const model = new ConfigModel(r.dut.fn.config);
  expect(model.size).toBe(4096);
  expect(model.owner(0)).toBe(OWNER_HEADER);
  expect(model.owner(0x3f)).toBe(OWNER_HEADER);
  expect(model.owner(CapAt.PM)).toBe(CapId.PM);
  expect(model.owner(CapAt.PM + 8)).toBe(OWNER_NONE);
  expect(model.owner(CapAt.EXP + 8)).toBe(CapId.EXP);
  expect(model.owner(0xfff)).toBe(OWNER_NONE);
});

test('a conventional function has advanced features instead of PCI Express', () => {
  using r = rig({ bdf: BDF.LEGACY });
  const model = new ConfigModel(r.dut.fn.config);
  expect(model.size).toBe(256);
  expect(model.capabilities.map(({ id }) => id)).toEqual([CapId.PM, CapId.AF]);
});
