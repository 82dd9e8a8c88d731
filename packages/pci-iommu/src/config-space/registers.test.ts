import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { testBar } from '../topology/test-machine.ts';
import {
  ATS_CTRL,
  BridgeControl,
  CapAt,
  CapId,
  EXP_DEVCTL,
  ExtCapId,
  msiRegisters,
  MSIX_FLAGS,
  PM_CTRL,
  PowerState,
  PRI_CTRL,
  PRI_STATUS,
  PriBit,
  REBAR_CTRL,
  Reg,
} from './index.ts';
import { testConfig } from './test-function.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

describe('sizing', () => {
  // drivers §15.1
  test.each([
    ['64 KiB', 0x1_0000, 0xffff_0001],
    ['2 KiB', 0x800, 0xffff_f801],
  ])('a ROM of %s keeps its enable bit', (_name, size, expected) => {
    using machine = testMachine();
    const { config } = testConfig(machine, { rom: { start: 0xfeb0_0000, size } });
    config.write(Reg.ROM, 4, 0xffff_ffff);
    expect(config.read(Reg.ROM, 4)).toBe(expected);
  });

  test('unimplemented registers read 0', () => {
    using machine = testMachine();
    const { config } = testConfig(machine, { bars: [testBar(0x38_0000_0000, GIB)] });
    for (const at of [0x18, 0x1c, 0x20, 0x24, Reg.ROM]) {
      config.write(at, 4, 0xffff_ffff);
      expect(config.read(at, 4)).toBe(0);
    }
  });

  test('a 256 GiB BAR', () => {
    using machine = testMachine();
    const { config } = testConfig(machine, { bars: [testBar(0x400_0000_0000, 256 * GIB)] });
    config.write(Reg.BAR_0, 4, 0xffff_ffff);
    config.write(Reg.BAR_0 + 4, 4, 0xffff_ffff);
    expect([config.read(Reg.BAR_0, 4), config.read(Reg.BAR_0 + 4, 4)]).toEqual([0xc, 0xffff_ffc0]);
  });
});

describe('power management', () => {
  test('a state that the function does not have is not taken', () => {
    using machine = testMachine();
    const { config } = testConfig(machine, { config: { known: 0, runs: '4:00001000 34:40 40:01000300' } });
    for (const state of [PowerState.D1, PowerState.D2]) {
      config.powerState = state;
      expect(config.powerState).toBe(PowerState.D0);
    }
    config.powerState = PowerState.D3hot;
    expect(config.powerState).toBe(PowerState.D3hot);
  });

  test.each([
    ['keeps', '0800', 6],
    ['loses', '0000', 0],
  ])('a function that %s its registers in D3hot', (_name, control, command) => {
    using machine = testMachine();
    const { config } = testConfig(machine, { config: { known: 0x50, runs: `4:00001000 34:40 40:01000306${control}` } });
    config.powerState = PowerState.D3hot;
    expect(config.command).toBe(6);
    config.powerState = PowerState.D0;
    expect(config.command).toBe(command);
    expect(config.keepsRegistersInD3).toBe(command !== 0);
  });

  test('PME status is cleared by writing a one', () => {
    using machine = testMachine();
    const { config } = testConfig(machine);
    config.setStatus(CapAt.PM + PM_CTRL, 0x8000);
    config.write(CapAt.PM + PM_CTRL, 2, 0x0100);
    expect(config.read(CapAt.PM + PM_CTRL, 2)).toBe(0x8108);
    config.write(CapAt.PM + PM_CTRL, 2, 0x8000);
    expect(config.read(CapAt.PM + PM_CTRL, 2)).toBe(0x0008);
  });
});

test('a dump of a function that slept with interrupts enabled: it is awake and silent at start', () => {
  using machine = testMachine();
  const runs = '4:06001000 34:40 40:01500306 44:0b000000 50:05600100 54:0000e0fe 60:110007c0 64:00200000 68:00300000';
  const { config, access } = testConfig(machine, { config: { known: 0x100, runs } });
  expect([config.powerState, config.memoryEnabled, access() & 1]).toEqual([PowerState.D0, true, 1]);
  expect([config.read(0x52, 2) & 1, config.read(0x62, 2)]).toEqual([0, 0x0007]);
  expect([config.initial(0x44, 1), config.initial(0x62, 2)]).toEqual([0x0b, 0xc007]);
});

describe('status registers', () => {
  test('the header’s errors are cleared by writing ones, the capability bit stays', () => {
    using machine = testMachine();
    const { config } = testConfig(machine);
    config.setStatus(Reg.COMMAND, 0x3000_0000);
    config.write(Reg.STATUS, 2, 0x1010);
    expect(config.read(Reg.STATUS, 2)).toBe(0x2010);
    config.write(Reg.COMMAND, 4, 0xffff_ffff);
    expect([config.read(Reg.STATUS, 2), config.read(Reg.COMMAND, 2)]).toEqual([0x0010, 0x0547]);
  });

  test('an unsupported request shows in device status too', () => {
    using machine = testMachine();
    const { config } = testConfig(machine);
    config.reportError(0x0010_0000);
    expect(config.read(CapAt.EXP + EXP_DEVCTL + 2, 2)).toBe(0x8);
    config.write(CapAt.EXP + EXP_DEVCTL + 2, 2, 0x8);
    expect(config.read(CapAt.EXP + EXP_DEVCTL + 2, 2)).toBe(0);
  });
});

describe('MSI and MSI-X', () => {
  test.each([
    [false, false, 10],
    [false, true, 20],
    [true, false, 14],
    [true, true, 24],
  ])('wide %s, maskable %s', (wide, maskable, length) => {
    using machine = testMachine();
    const { config } = testConfig(machine, { msi: { vectors: 8, wide, maskable } });
    const at = config.findCapability(CapId.MSI);
    const registers = msiRegisters(at, config.read(at + 2, 2));
    expect(registers).toMatchObject({ vectors: 8, length });
    config.write(registers.flags, 2, 0xffff);
    expect(config.read(registers.flags, 2)).toBe((wide ? 0x80 : 0) | (maskable ? 0x100 : 0) | 0x77);
    config.write(registers.address, 4, 0xffff_ffff);
    expect(config.read(registers.address, 4)).toBe(0xffff_fffc);
    config.write(registers.data, 2, 0x1234);
    expect(config.read(registers.data, 2)).toBe(0x1234);
    if (registers.mask === null) return;
    config.write(registers.mask, 4, 0xffff_ffff);
    expect(config.read(registers.mask, 4)).toBe(0xff);
    config.write(registers.pending!, 4, 0xff);
    expect(config.read(registers.pending!, 4)).toBe(0);
  });

  test('the table of MSI-X cannot be moved', () => {
    using machine = testMachine();
    const msix = { vectors: 9, bar: 0, offset: 0x2000, pbaBar: 2, pbaOffset: 0x800 };
    const { config } = testConfig(machine, { msix });
    const at = config.findCapability(CapId.MSIX);
    for (let offset = 0; offset < 12; offset += 4) config.write(at + offset, 4, 0xffff_ffff);
    expect(config.read(at + MSIX_FLAGS, 2)).toBe(0xc008);
    expect([config.read(at + 4, 4), config.read(at + 8, 4)]).toEqual([0x2000, 0x802]);
  });
});

describe('extended capabilities', () => {
  const more = { ats: true, pri: 64, pasid: 20, resizableBars: [{ bar: 0, sizes: [256 * MIB, GIB, 16 * GIB] }] };

  test('ATS, page requests and PASID can be enabled', () => {
    using machine = testMachine();
    const { config } = testConfig(machine, more);
    const ats = config.findExtCapability(ExtCapId.ATS);
    config.write(ats + ATS_CTRL, 2, 0xffff);
    expect(config.read(ats + ATS_CTRL, 2)).toBe(0x801f);
    const pasid = config.findExtCapability(ExtCapId.PASID);
    config.write(pasid + 6, 2, 0xffff);
    expect([config.read(pasid + 4, 2), config.read(pasid + 6, 2)]).toEqual([0x1400, 0x0001]);
  });

  test('page requests: stopped while off, reset forgets errors, errors are cleared by writing ones', () => {
    using machine = testMachine();
    const { config } = testConfig(machine, more);
    const at = config.findExtCapability(ExtCapId.PRI);
    const status = (): number => config.read(at + PRI_STATUS, 2);
    expect([status(), config.read(at + 8, 4)]).toEqual([PriBit.STOPPED, 64]);
    config.write(at + PRI_CTRL, 2, PriBit.ENABLE);
    expect(status()).toBe(0);
    config.setStatus(at + PRI_CTRL, 3 << 16);
    config.write(at + PRI_CTRL, 2, PriBit.ENABLE | PriBit.RESET);
    expect([status(), config.read(at + PRI_CTRL, 2)]).toEqual([3, PriBit.ENABLE]);
    config.write(at + PRI_STATUS, 2, PriBit.UNEXPECTED_GROUP);
    expect(status()).toBe(PriBit.RESPONSE_FAILURE);
    config.write(at + PRI_CTRL, 2, 0);
    config.write(at + PRI_CTRL, 2, PriBit.RESET);
    expect([status(), config.read(at + PRI_CTRL, 2)]).toEqual([PriBit.STOPPED, 0]);
  });

  test('a resizable BAR names its sizes and keeps the one it has', () => {
    using machine = testMachine();
    const { config } = testConfig(machine, { ...more, bars: [testBar(0x38_0000_0000, GIB)] });
    const at = config.findExtCapability(ExtCapId.REBAR);
    expect(config.read(at + 4, 4)).toBe(2 ** (8 + 4) + 2 ** (10 + 4) + 2 ** (14 + 4));
    expect(config.read(at + REBAR_CTRL, 4)).toBe(0x0a20);
    config.write(at + REBAR_CTRL, 4, 0x0e20);
    expect(config.read(at + REBAR_CTRL, 4)).toBe(0x0a20);
  });
});

describe('bridges', () => {
  const windows = [
    { kind: 'io', start: 0x1_2000, end: 0x1_3fff },
    { kind: 'mem', start: 0xe010_0000, end: 0xe02f_ffff },
    { kind: 'prefetch', start: 0x38_0000_0000, end: 0x3b_ffff_ffff },
  ] as const;

  test('show their windows, closed ones as null', () => {
    using machine = testMachine();
    const { bridge } = testConfig(machine, { kind: 'root-port', secondary: 2, subordinate: 3, windows }, {}, 7).config;
    expect(bridge).toMatchObject({
      secondary: 2,
      subordinate: 3,
      ioWindow: { start: 0x1_2000, end: 0x1_3fff },
      memoryWindow: { start: 0xe010_0000, end: 0xe02f_ffff },
      prefetchWindow: { start: 0x38_0000_0000, end: 0x3b_ffff_ffff },
      forwardsVga: false,
      holdsBusInReset: false,
    });
    const { bridge: bare } = testConfig(machine, { kind: 'root-port', secondary: 2, subordinate: 3 }).config;
    expect([bare.ioWindow, bare.memoryWindow, bare.prefetchWindow]).toEqual([null, null, null]);
  });

  test('follow what is written, and tell', () => {
    using machine = testMachine();
    const { config, routeChanges } = testConfig(machine, { kind: 'root-port', secondary: 2, subordinate: 3, windows });
    const before = routeChanges();
    config.write(Reg.PREFETCH_WINDOW, 4, 0x0ff1_0001);
    config.write(Reg.PREFETCH_BASE_UPPER, 4, 0x40);
    config.write(Reg.PREFETCH_LIMIT_UPPER, 4, 0x41);
    expect(config.bridge.prefetchWindow).toEqual({ start: 0x40_0000_0000, end: 0x41_0fff_ffff });
    config.write(Reg.MEMORY_WINDOW, 4, 0x0000_fff0);
    expect(config.bridge.memoryWindow).toBeNull();
    config.write(Reg.BUS_NUMBERS, 4, 0x0007_0500);
    expect([config.bridge.secondary, config.bridge.subordinate]).toEqual([5, 7]);
    expect(routeChanges() - before).toBe(5);
    config.command = 0;
    expect(config.bridge.prefetchWindow).toBeNull();
    expect(routeChanges() - before).toBe(6);
  });

  test('hold the bus below in reset as long as their control register says', () => {
    using machine = testMachine();
    const { config, busResets, reset } = testConfig(machine, { kind: 'root-port', secondary: 2, subordinate: 3 });
    config.write(Reg.BRIDGE_CONTROL, 2, BridgeControl.BUS_RESET | BridgeControl.VGA);
    expect([busResets, config.bridge.forwardsVga]).toEqual([[true], true]);
    config.write(Reg.BRIDGE_CONTROL, 2, BridgeControl.BUS_RESET);
    config.write(Reg.BRIDGE_CONTROL, 2, 0);
    expect(busResets).toEqual([true, false]);
    config.write(Reg.BRIDGE_CONTROL, 2, BridgeControl.BUS_RESET);
    reset.begin();
    reset.end();
    expect(busResets).toEqual([true, false, true, false]);
  });
});
