import { Reg } from '@dmabuf-emu/pci-iommu';
import { describe, expect, test } from 'vitest';
import { rig } from '../testing/rig.fixture.ts';
import { BDF } from '../testing/topology.fixture.ts';

const ONES = 0xffff_ffff;
const bar = (i: number): number => Reg.BAR_0 + 4 * i;

// drivers §15.1
describe('writing all ones to a BAR and reading back tells its size', () => {
  const cases: [what: string, bdf: string, register: number, value: number][] = [
    ['1 MiB, mem32', BDF.DUT, bar(0), 0xfff0_0000],
    ['64 MiB, mem64 prefetchable, low', BDF.DUT, bar(2), 0xfc00_000c],
    ['64 MiB, mem64 prefetchable, high', BDF.DUT, bar(3), 0xffff_ffff],
    ['16 GiB, mem64 prefetchable, low', BDF.FAR, bar(0), 0x0000_000c],
    ['16 GiB, mem64 prefetchable, high', BDF.FAR, bar(1), 0xffff_fffc],
    ['128 bytes of I/O ports', BDF.DUT, bar(4), 0xffff_ff81],
    ['not implemented', BDF.DUT, bar(5), 0],
    ['not implemented, in between', BDF.DUT, bar(1), 0],
    ['ROM of 64 KiB', BDF.DUT, Reg.ROM, 0xffff_0001],
    ['no ROM', BDF.FAR, Reg.ROM, 0],
  ];
  test.each(cases)('%s', (_, bdf, register, value) => {
    using r = rig({ bdf });
    for (let i = 0; i < 6; i++) r.dut.config.write(bar(i), 4, ONES);
    r.dut.config.write(Reg.ROM, 4, ONES);
    expect(r.dut.config.read(register, 4)).toBe(value);
  });
});

test('the hardware keeps its address, and so do buffers, whatever the user writes', () => {
  using r = rig();
  const hardware = r.dut.fn.config.read(bar(2), 4);
  r.dut.config.write(bar(2), 4, 0x1234_0000);
  expect(r.dut.config.read(bar(2), 4)).toBe(0x1000_000c);
  expect(r.dut.fn.config.read(bar(2), 4)).toBe(hardware);
});

test('at open the virtual BARs are those of the hardware', () => {
  using r = rig();
  expect(r.dut.config.read(bar(0), 4)).toBe(0xfea0_0000);
  expect(r.dut.config.read(bar(2), 4)).toBe(0x0000_000c);
  expect(r.dut.config.read(bar(3), 4)).toBe(0x38);
});

test('a write of one byte is enough to look at the BAR anew', () => {
  using r = rig();
  r.dut.config.write(bar(0), 1, 0xff);
  expect(r.dut.config.read(bar(0), 4)).toBe(0xfea0_0000);
});

test('a reset behind the back of VFIO is noticed at the next command write', () => {
  using r = rig();
  const saved = [0, 2, 3].map((i) => r.dut.fn.config.read(bar(i), 4));
  r.dut.fn.reset.functionLevelReset();
  expect(r.dut.fn.config.read(bar(3), 4)).not.toBe(saved[2]);
  r.dut.command.raw = 0x2;
  expect([0, 2, 3].map((i) => r.dut.fn.config.read(bar(i), 4))).toEqual(saved);
  expect(r.dut.fn.config.memoryEnabled).toBe(true);
});

test('a virtual function shows sizes though it has no BAR registers', () => {
  using r = rig({ bdf: BDF.VF });
  r.dut.config.write(bar(0), 4, ONES);
  expect(r.dut.config.read(bar(0), 4)).toBe(0xfff0_000c);
});
