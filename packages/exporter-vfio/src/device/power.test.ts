import { describeConfig, ExtCapId, PowerState, Reg, SRIOV_CTRL } from '@dmabuf-emu/pci-iommu';
import { expect, test } from 'vitest';
import { irqRig } from '../testing/irq-rig.fixture.ts';
import { BDF } from '../testing/topology.fixture.ts';

/** A dump of a function with PM and PCI Express. @param control - the power management control register */
function dump(control: number): Uint8Array {
  const bytes = new Uint8Array(256);
  const view = new DataView(bytes.buffer);
  view.setUint32(0x00, 0x1480_1022, true);
  view.setUint32(0x04, 0x0010_0006, true);
  view.setUint32(0x08, 0xff00_0001, true);
  bytes[0x34] = 0x40;
  view.setUint32(0x40, 0x0603_5001, true);
  view.setUint32(0x44, control, true);
  view.setUint32(0x50, 0x0002_0010, true);
  view.setUint32(0x54, 0x1000_8000, true);
  return bytes;
}

// drivers §4.5
test.each([
  ['keeps', 8],
  ['loses', 0],
])('a function that %s its registers in D3hot has them in D0', (_name, control) => {
  using r = irqRig({ config: describeConfig(dump(control)) });
  expect(r.fn.config.keepsRegistersInD3).toBe(control !== 0);
  r.dut.command.busMaster = true;
  const registers = (): number[] => [Reg.COMMAND, 0x10, 0x18, 0x1c].map((at) => r.fn.config.read(at, 4));
  const before = registers();
  r.dut.setPowerState(PowerState.D3hot);
  expect(r.dut.memoryEnabled).toBe(false);
  r.dut.setPowerState(PowerState.D0);
  expect([registers(), r.dut.memoryEnabled, r.fn.config.powerState]).toEqual([before, true, PowerState.D0]);
});

test('a physical function stays in D0 while its virtual functions are enabled, and no longer', () => {
  using r = irqRig({}, BDF.PF);
  const { config } = r.fn;
  r.dut.setPowerState(PowerState.D3hot);
  expect(config.powerState).toBe(PowerState.D0);
  config.write(config.extCapabilityAt(ExtCapId.SRIOV) + SRIOV_CTRL, 2, 0);
  r.dut.setPowerState(PowerState.D3hot);
  expect(config.powerState).toBe(PowerState.D3hot);
  r.dut.setPowerState(PowerState.D0);
});
