import { CapAt, EXP_DEVCTL, PciCommand, PM_CTRL, Reg } from '@dmabuf-emu/pci-iommu';
import { describe, expect, test } from 'vitest';
import { onImporterStep, Session } from '#dist/testing/importer.test-worker.js';
import { errno, rig } from '../testing/rig.fixture.ts';
import { BDF } from '../testing/topology.fixture.ts';

// drivers §4.1, §4.2
describe('what the user sees', () => {
  test('ids, class and header come from the hardware', () => {
    using r = rig();
    const { config, fn } = r.dut;
    for (const at of [0x00, 0x08, 0x0c]) expect(config.read(at, 4)).toBe(fn.config.read(at, 4));
  });

  test('a virtual function has the ids that the hardware does not tell, and memory enabled', () => {
    using r = rig({ bdf: BDF.VF });
    expect(r.dut.fn.config.read(0, 4)).toBe(0xffff_ffff);
    expect(r.dut.config.read(0, 4)).toBe(0x1481_1022);
    expect(r.dut.command.memory).toBe(true);
    r.dut.command.raw = 0;
    expect(r.dut.command.memory).toBe(false);
  });

  test('INTX_DISABLE is virtual, MEMORY and MASTER reach the hardware', () => {
    using r = rig();
    r.dut.command.raw = PciCommand.MEMORY | PciCommand.MASTER | PciCommand.INTX_DISABLE;
    expect(r.dut.command.raw & 0x406).toBe(0x406);
    expect(r.dut.fn.config.command & 0x406).toBe(0x006);
    expect(r.dut.fn.config.busMaster).toBe(true);
  });

  test('read-only registers swallow writes', () => {
    using r = rig();
    const before = r.dut.config.read(0, 4);
    r.dut.config.write(0, 4, 0);
    r.dut.config.write(0x34, 1, 0);
    r.dut.config.write(0x3d, 1, 0);
    expect(r.dut.config.read(0, 4)).toBe(before);
    expect(r.dut.config.read(0x34, 1)).toBe(CapAt.PM);
    expect(r.dut.config.read(0x3d, 1)).toBe(1);
  });

  test('the interrupt line is the user’s own', () => {
    using r = rig();
    r.dut.config.write(0x3c, 1, 0x5a);
    expect(r.dut.config.read(0x3c, 1)).toBe(0x5a);
    expect(r.dut.fn.config.read(0x3c, 1)).toBe(0);
  });

  test('the reset bit reads as 0, payload and request size are virtual', () => {
    using r = rig();
    r.dut.config.write(CapAt.EXP + EXP_DEVCTL, 2, 0xffff);
    expect(r.dut.config.read(CapAt.EXP + EXP_DEVCTL, 2)).toBe(0x7dff);
    expect(r.dut.fn.config.read(CapAt.EXP + EXP_DEVCTL, 2) & 0x70e0).toBe(0);
  });

  test('the power state changes by way of VFIO alone', () => {
    using r = rig();
    r.dut.config.write(CapAt.PM + PM_CTRL, 2, 1);
    expect(r.dut.config.read(CapAt.PM + PM_CTRL, 2) & 3).toBe(1);
    expect(r.dut.fn.config.powerState).toBe(1);
  });

  test('any number of bytes can be transferred', () => {
    using r = rig();
    const all = new Uint8Array(4096);
    r.dut.config.readBytes(0, all);
    expect(new DataView(all.buffer).getUint32(0, true)).toBe(r.dut.config.read(0, 4));
    expect(r.dut.config.read(1, 3)).toBe(r.dut.config.read(0, 4) >>> 8);
  });

  test('transfers end at the end of the space', () => {
    using r = rig();
    expect(() => r.dut.config.read(4094, 4)).toThrow(errno('EFAULT'));
    expect(() => r.dut.config.write(-1, 1, 0)).toThrow(errno('EFAULT'));
    expect(() => r.dut.config.read(0, 5)).toThrow('1 to 4 bytes');
  });
});

/** How often the importer of a mapped buffer is told something while `fn` runs. */
function told(r: ReturnType<typeof rig>, fn: () => void): number {
  const dmabuf = r.buffer();
  const session = Session.attach(dmabuf, r.near);
  session.map();
  let steps = 0;
  onImporterStep((step) => {
    if (step === 'invalidate') steps++;
  });
  fn();
  onImporterStep(null);
  session.end();
  dmabuf.put();
  return steps;
}

describe('the command register acts for pieces that begin at it', () => {
  const cases: [what: string, write: (r: ReturnType<typeof rig>) => void, told: number][] = [
    ['1 byte at 4', (r) => r.dut.config.write(Reg.COMMAND, 1, 0), 1],
    ['2 bytes at 4', (r) => r.dut.config.write(Reg.COMMAND, 2, 0), 1],
    ['4 bytes at 4', (r) => r.dut.config.write(Reg.COMMAND, 4, 0), 1],
    ['1 byte at 5', (r) => r.dut.config.write(Reg.COMMAND + 1, 1, 4), 0],
    ['8 bytes at 0', (r) => r.dut.config.writeBytes(0, new Uint8Array(8)), 1],
    ['3 bytes at 3: one at 3, two at 4', (r) => r.dut.config.write(3, 3, 0), 1],
    ['2 bytes at 5: the upper half of the command and the status', (r) => r.dut.config.write(5, 2, 0), 0],
  ];
  test.each(cases)('%s', (_, write, expected) => {
    using r = rig();
    expect(told(r, () => write(r))).toBe(expected);
    expect(r.dut.memoryEnabled).toBe(expected === 0);
  });
});

describe('the power state acts for pieces that begin at its register', () => {
  test('a dword at it', () => {
    using r = rig();
    expect(told(r, () => r.dut.config.write(CapAt.PM + PM_CTRL, 4, 3))).toBe(1);
  });

  test('not the byte behind it', () => {
    using r = rig();
    expect(told(r, () => r.dut.config.write(CapAt.PM + PM_CTRL + 1, 1, 3))).toBe(0);
  });
});

describe('function level reset acts on the shadow of its bit, wherever the write began', () => {
  const twice = 2;
  test('the upper byte of the control register', () => {
    using r = rig();
    expect(told(r, () => r.dut.config.write(CapAt.EXP + EXP_DEVCTL + 1, 1, 0x80))).toBe(twice);
    expect(r.dut.fn.reset.count).toBeGreaterThan(1);
  });

  test('advanced features', () => {
    using r = rig({ bdf: BDF.LEGACY });
    expect(told(r, () => r.dut.config.write(CapAt.AF + 4, 1, 1))).toBe(twice);
    expect(r.dut.config.read(CapAt.AF + 4, 1)).toBe(0);
  });

  test('a function without reset ignores it', () => {
    using r = rig({ bdf: BDF.STUCK });
    expect(told(r, () => r.dut.config.write(CapAt.EXP + EXP_DEVCTL, 2, 0x8000))).toBe(0);
    expect(r.dut.config.read(CapAt.EXP + EXP_DEVCTL, 2)).toBe(0);
  });
});
