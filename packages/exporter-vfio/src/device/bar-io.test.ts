import { expect, test } from 'vitest';
import { errno, rig } from '../testing/rig.fixture.ts';
import { BAR2, BDF } from '../testing/topology.fixture.ts';

const bytes = Uint8Array.from({ length: 5000 }, (_, i) => i);

// drivers §4.3, §4.8
test('what is written to a BAR is at its physical address', () => {
  using r = rig();
  expect(r.dut.writeBar(2, 100, bytes)).toBe(5000);
  expect(r.dut.readBar(2, 100, 5000)).toEqual(bytes);
  expect(r.pci.memory.cpuRead(BAR2.start + 100, 5000)).toEqual(bytes);
});

test('transfers are cut at the end of the BAR', () => {
  using r = rig();
  expect(r.dut.writeBar(2, BAR2.size - 10, bytes)).toBe(10);
  expect(r.dut.readBar(2, BAR2.size - 10, 100)).toEqual(bytes.subarray(0, 10));
  expect(r.dut.readBar(2, 0, 0)).toHaveLength(0);
});

test.each([
  ['behind the end', 2, BAR2.size],
  ['before the start', 2, -1],
  ['a BAR that is not there', 5, 0],
  ['the ROM', 6, 0],
  ['a region that is not there', 12, 0],
])('EINVAL: %s', (_, region, offset) => {
  using r = rig();
  expect(() => r.dut.readBar(region, offset, 4)).toThrow(errno('EINVAL'));
  expect(() => r.dut.writeBar(region, offset, bytes)).toThrow(errno('EINVAL'));
});

test('EIO while memory is disabled, but not for ports', () => {
  using r = rig();
  r.dut.writeBar(2, 0, bytes);
  r.dut.command.memory = false;
  expect(() => r.dut.readBar(2, 0, 4)).toThrow(errno('EIO'));
  expect(() => r.dut.writeBar(2, 0, bytes)).toThrow(errno('EIO'));
  expect(r.dut.readBar(4, 0, 4)).toEqual(new Uint8Array(4));
  r.dut.command.memory = true;
  expect(r.dut.readBar(2, 0, 4)).toEqual(bytes.subarray(0, 4));
});

test('EIO in D3hot', () => {
  using r = rig();
  r.dut.setPowerState(3);
  expect(() => r.dut.readBar(2, 0, 4)).toThrow(errno('EIO'));
});

test('the memory of a virtual function cannot be disabled', () => {
  using r = rig({ bdf: BDF.VF });
  r.dut.command.raw = 0;
  r.dut.writeBar(0, 0, bytes);
  expect(r.dut.readBar(0, 0, 4)).toEqual(bytes.subarray(0, 4));
});
