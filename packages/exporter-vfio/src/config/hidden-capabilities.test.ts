import { describeConfig } from '@dmabuf-emu/pci-iommu';
import { expect, test } from 'vitest';
import { irqRig } from '../testing/irq-rig.fixture.ts';

/** A dump: PM, a slot id, PCI Express, a subsystem id; then a MRIOV, an ACS, a PASID, a vendor specific capability. */
function dump(): Uint8Array {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  view.setUint32(0x00, 0x1480_1022, true);
  view.setUint32(0x04, 0x0010_0006, true);
  view.setUint32(0x08, 0xff00_0001, true);
  bytes[0x34] = 0x40;
  view.setUint32(0x40, 0x0003_5001, true);
  view.setUint32(0x50, 0x0000_6004, true);
  view.setUint32(0x60, 0x0002_a010, true);
  view.setUint32(0x64, 0x1000_8000, true);
  view.setUint32(0xa0, 0x0000_c00d, true);
  view.setUint32(0xc0, 0x0008_0009, true);
  const extended = (at: number, id: number, next: number): void =>
    view.setUint32(at, (id | 0x1_0000 | (next << 20)) >>> 0, true);
  extended(0x100, 0x11, 0x140);
  extended(0x140, 0x0d, 0x160);
  extended(0x160, 0x1b, 0x180);
  extended(0x180, 0x0b, 0);
  view.setUint32(0x184, 0x0100_0001, true);
  return bytes;
}

function listed(read: (offset: number, size: number) => number): { conventional: number[]; extended: number[][] } {
  const conventional: number[] = [];
  for (let at = read(0x34, 1); at !== 0; at = read(at + 1, 1)) conventional.push(at);
  const extended: number[][] = [];
  for (let at = 0x100; at !== 0; at = read(at, 4) >>> 20) extended.push([at, read(at, 2)]);
  return { conventional, extended };
}

// drivers §4.1
test('capabilities that VFIO does not know are not in the user’s lists, but in the hardware’s', () => {
  using r = irqRig({ config: describeConfig(dump()), acs: { cap: 0, ctrl: 0 } });
  const hardware = listed((offset, size) => r.fn.config.read(offset, size as 1 | 2 | 4));
  expect(hardware.conventional).toEqual([0x40, 0x50, 0x60, 0xa0, 0xc0]);
  const { conventional, extended } = listed((offset, size) => r.dut.config.read(offset, size));
  expect(conventional).toEqual([0x40, 0x60, 0xc0]);
  expect(extended).toEqual([
    [0x100, 0],
    [0x140, 0x0d],
    [0x180, 0x0b],
  ]);
});

test('capabilities without rules can be read, vendor specific ones written', () => {
  using r = irqRig({ config: describeConfig(dump()), acs: { cap: 0x1f, ctrl: 0 } });
  const control = r.fn.config.acsControl;
  r.dut.config.write(0x146, 2, ~control & 0x1f);
  expect([r.dut.config.read(0x144, 2), r.dut.config.read(0x146, 2)]).toEqual([0x1f, control]);
  const hardware = r.fn.config.read(0x188, 4);
  r.dut.config.write(0x188, 4, 0x1234);
  expect(r.dut.config.read(0x188, 4)).toBe(hardware);
});
