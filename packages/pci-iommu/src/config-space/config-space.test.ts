import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { testBar } from '../topology/test-machine.ts';
import { Access, CapAt, CapId, ExtCapId, PciCommand, PM_CTRL, PowerState, Reg } from './index.ts';
import { testConfig } from './test-function.ts';

const GIB = 2 ** 30;
const WIDE = testBar(0x38_0000_0000, 16 * GIB);

describe('header', () => {
  test('shows ids, class and type', () => {
    using machine = testMachine();
    const { config } = testConfig(machine, { multifunction: true });
    expect(config.read(0, 2)).toBe(0x10de);
    expect(config.read(2, 2)).toBe(0x2684);
    expect(config.read(0, 4)).toBe(0x2684_10de);
    expect(config.read(0x0b, 1)).toBe(0x03);
    expect(config.read(0x0e, 1)).toBe(0x80);
    expect(config.read(6, 2) & 0x10).toBe(0x10);
  });

  test('the command register keeps the bits that exist', () => {
    using machine = testMachine();
    const { config } = testConfig(machine);
    config.write(Reg.COMMAND, 2, 0xffff);
    expect(config.read(Reg.COMMAND, 2)).toBe(0x547);
    config.write(Reg.COMMAND, 1, 0);
    expect(config.read(Reg.COMMAND, 2)).toBe(0x500);
    config.write(Reg.COMMAND + 1, 1, 0x04);
    expect(config.command).toBe(PciCommand.INTX_DISABLE);
  });

  test.each([
    [1, 2],
    [2, 4],
    [4096, 4],
    [-4, 4],
    [0.5, 1],
  ] as const)('an access at offset %d of %d bytes is EINVAL', (offset, size) => {
    using machine = testMachine();
    const { config } = testConfig(machine);
    expect(() => config.read(offset, size)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(() => config.write(offset, size, 0)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });

  test('read-only registers stay as they are', () => {
    using machine = testMachine();
    const { config } = testConfig(machine);
    for (const offset of [0x00, 0x08, 0x2c, 0x34]) {
      const before = config.read(offset, 4);
      config.write(offset, 4, 0x5555_5555);
      expect(config.read(offset, 4)).toBe(before);
    }
  });
});

describe('base address registers', () => {
  // drivers 15.1
  test.each([
    ['1 MiB mem32', { index: 0, start: 0xfea0_0000, size: 2 ** 20, kind: 'mem32', prefetchable: false }, [0xfff0_0000]],
    ['64 MiB mem64 prefetchable', testBar(0x38_0000_0000, 2 ** 26, { index: 2 }), [0xfc00_000c, 0xffff_ffff]],
    ['16 GiB mem64 prefetchable', WIDE, [0x0000_000c, 0xffff_fffc]],
    ['128 bytes of I/O', { index: 0, start: 0xe000, size: 128, kind: 'io', prefetchable: false }, [0xffff_ff81]],
  ] as const)('sizing of %s', (_name, bar, expected) => {
    using machine = testMachine();
    const { config } = testConfig(machine, { bars: [bar] });
    expected.forEach((value, i) => {
      const at = Reg.BAR_0 + (bar.index + i) * 4;
      const before = config.read(at, 4);
      config.write(at, 4, 0xffff_ffff);
      expect(config.read(at, 4)).toBe(value >>> 0);
      config.write(at, 4, before);
      expect(config.read(at, 4)).toBe(before);
    });
    expect(config.read(Reg.BAR_0 + 5 * 4, 4)).toBe(0);
  });

  test('hold the bus address', () => {
    using machine = testMachine();
    const window = { start: 0x38_0000_0000, end: 0x3f_ffff_ffff, busOffset: -0x10_0000_0000 };
    const { config } = testConfig(machine, { bars: [WIDE] }, { windows: [window] });
    expect(config.read(Reg.BAR_0, 4)).toBe(0x0000_000c);
    expect(config.read(Reg.BAR_0 + 4, 4)).toBe(0x28);
  });

  test('a moved BAR is not decoded at its address any more', () => {
    using machine = testMachine();
    const { config, access } = testConfig(machine, { bars: [WIDE, testBar(0x30_0000_0000, GIB, { index: 2 })] });
    expect(access() & (Access.BAR_0 | (Access.BAR_0 << 2))).toBe(Access.BAR_0 | (Access.BAR_0 << 2));
    config.write(Reg.BAR_0 + 4, 4, 0x3f);
    expect(access() & (Access.BAR_0 | (Access.BAR_0 << 2))).toBe(Access.BAR_0 << 2);
    config.write(Reg.BAR_0 + 4, 4, 0x38);
    expect(access() & Access.BAR_0).toBe(Access.BAR_0);
  });
});

describe('what a function takes part in', () => {
  test.each([
    ['memory off', PciCommand.MASTER, PowerState.D0, Access.MASTER],
    ['master off', PciCommand.MEMORY, PowerState.D0, Access.DECODE],
    ['both on', 6, PowerState.D0, Access.MASTER | Access.DECODE],
    ['D1', 6, PowerState.D1, Access.DECODE | Access.LOW_POWER],
    ['D3hot', 6, PowerState.D3hot, Access.LOW_POWER],
  ])('%s', (_name, command, power, expected) => {
    using machine = testMachine();
    const { config, access } = testConfig(machine);
    config.command = command;
    config.powerState = power;
    expect(access() & 0x1f).toBe(expected);
    expect(config.memoryEnabled).toBe((expected & Access.DECODE) !== 0);
  });

  test('bus master can be switched alone', () => {
    using machine = testMachine();
    const { config } = testConfig(machine);
    config.busMaster = false;
    expect([config.busMaster, config.memoryEnabled]).toEqual([false, true]);
    config.busMaster = true;
    expect(config.busMaster).toBe(true);
  });
});

describe('capabilities', () => {
  test('are found by walking the lists', () => {
    using machine = testMachine();
    const { config } = testConfig(machine, { acs: { cap: 0x5f, ctrl: 0x1d } });
    expect(config.findCapability(CapId.PM)).toBe(CapAt.PM);
    expect(config.findCapability(CapId.EXP)).toBe(CapAt.EXP);
    expect(config.findExtCapability(ExtCapId.AER)).toBe(CapAt.AER);
    expect(config.findExtCapability(ExtCapId.ACS)).toBe(CapAt.ACS);
    expect(config.findExtCapability(ExtCapId.SRIOV)).toBe(0);
  });

  test('a conventional device has 256 bytes and only what it has', () => {
    using machine = testMachine();
    const { config } = testConfig(machine, { kind: 'pci-device', pm: false, flr: false });
    expect(config.size).toBe(256);
    expect(config.findCapability(CapId.PM)).toBe(0);
    expect(config.findExtCapability(ExtCapId.AER)).toBe(0);
    expect(config.read(Reg.COMMAND + 2, 2)).toBe(0);
    config.powerState = PowerState.D3hot;
    expect(config.powerState).toBe(PowerState.D0);
  });

  test('the power state is written through PMCSR', () => {
    using machine = testMachine();
    const { config } = testConfig(machine);
    config.write(CapAt.PM + PM_CTRL, 2, PowerState.D3hot);
    expect(config.powerState).toBe(PowerState.D3hot);
    expect(config.read(CapAt.PM + PM_CTRL, 1)).toBe(0x0b);
  });

  test('ACS control has the bits of the capability, and tells of changes', () => {
    using machine = testMachine();
    const { config, routeChanges } = testConfig(machine, { acs: { cap: 0x1f, ctrl: 0 } });
    expect(config.read(CapAt.ACS + 4, 2)).toBe(0x1f);
    config.write(CapAt.ACS + 6, 2, 0xffff);
    expect(config.acsControl).toBe(0x1f);
    config.acsControl = 0x04;
    expect(config.read(CapAt.ACS + 6, 2)).toBe(0x04);
    expect(routeChanges()).toBe(2);
  });

  test('AER status bits are cleared by writing ones', () => {
    using machine = testMachine();
    const { config } = testConfig(machine);
    config.reportError(0x0010_4000);
    config.write(CapAt.AER + 4, 4, 0x4000);
    expect(config.read(CapAt.AER + 4, 4)).toBe(0x0010_0000);
  });
});

describe('resets', () => {
  test('clear command, power and BARs; while one is under way all reads are ones and writes are lost', () => {
    using machine = testMachine();
    const { config, reset, access } = testConfig(machine, { bars: [WIDE] });
    reset.begin();
    expect(config.inReset).toBe(true);
    expect(config.read(0, 4)).toBe(0xffff_ffff);
    config.write(Reg.COMMAND, 2, 6);
    expect(access()).toBe(Access.IN_RESET);
    reset.end();
    expect(config.command).toBe(0);
    expect(config.read(Reg.BAR_0 + 4, 4)).toBe(0);
    expect(config.read(Reg.BAR_0, 4)).toBe(0xc);
    expect(access()).toBe(0);
    expect(reset.count).toBe(1);
  });

  test('the FLR bit of device control resets and reads as 0', () => {
    using machine = testMachine();
    const { config, reset } = testConfig(machine);
    config.write(CapAt.EXP + 8, 2, 0x8000);
    expect(reset.count).toBe(1);
    expect(config.command).toBe(0);
    expect(config.read(CapAt.EXP + 8, 2) & 0x8000).toBe(0);
  });

  test('without FLR the bit does nothing', () => {
    using machine = testMachine();
    const { config, reset } = testConfig(machine, { flr: false });
    config.write(CapAt.EXP + 8, 2, 0x8000);
    expect(reset.count).toBe(0);
    expect(config.command).toBe(6);
  });

  test('the kernel restores registers after its reset', () => {
    using machine = testMachine();
    const { config, reset } = testConfig(machine, { bars: [WIDE] });
    const before = [config.command, config.read(Reg.BAR_0, 4), config.read(Reg.BAR_0 + 4, 4)];
    config.powerState = PowerState.D3hot;
    reset.reset();
    expect([config.command, config.read(Reg.BAR_0, 4), config.read(Reg.BAR_0 + 4, 4)]).toEqual(before);
    expect([config.powerState, config.memoryEnabled, reset.count]).toEqual([PowerState.D0, true, 1]);
  });

  test('a try gives up with EAGAIN while the device lock is held', () => {
    using machine = testMachine();
    const { reset } = testConfig(machine);
    reset.deviceLock.with(() => expect(() => reset.tryReset()).toThrow(expect.objectContaining({ code: 'EAGAIN' })));
    reset.tryReset();
    expect(reset.count).toBe(1);
    expect(reset.deviceLock.isLocked).toBe(false);
  });

  test('a function without a way to reset is ENOTTY', () => {
    using machine = testMachine();
    const { reset } = testConfig(machine, { flr: false });
    expect(() => reset.reset()).toThrow(expect.objectContaining({ code: 'ENOTTY' }));
    expect(() => reset.tryReset()).toThrow(expect.objectContaining({ code: 'ENOTTY' }));
    expect(reset.deviceLock.isLocked).toBe(false);
  });
});
