import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { ExtCapId } from '../../config-space/index.ts';
import { type PciFunction, PciSystem } from '../../system/index.ts';
import { BAR, NODE, smallTopology, testSystem } from '../../system/test-system.ts';
import { AcsBit, type MachineDescription, Topology } from '../../topology/index.ts';
import { BusTree, buildRouteTable, DESCRIBED_REGISTERS, type RouteRegisters } from './index.ts';

const { EgressControl: EC, RequestRedirect: RR, UpstreamForwarding: UF } = AcsBit;

/** Everything behind each bridge of the small machine is in a window of its own; ports of the switch get these ACS words. */
function machine(acs: Readonly<Record<string, number>>): MachineDescription {
  const small = smallTopology();
  const windows: Readonly<Record<string, readonly [number, number]>> = {
    [NODE.RP0]: [BAR.A, BAR.B + 0xf_ffff],
    [NODE.U0]: [BAR.A, BAR.B + 0xf_ffff],
    [NODE.D0]: [BAR.A, BAR.A + BAR.A_BYTES - 1],
    [NODE.D1]: [BAR.B, BAR.B + 0xf_ffff],
  };
  const functions = small.functions.map((fn) => {
    const window = windows[fn.bdf];
    const ctrl = acs[fn.bdf];
    return {
      ...fn,
      ...(window === undefined ? {} : { windows: [{ kind: 'prefetch' as const, start: window[0], end: window[1] }] }),
      ...(ctrl === undefined ? {} : { acs: { cap: 0x7f, ctrl } }),
    };
  });
  return { ...small, functions };
}

function way(
  acs: Readonly<Record<string, number>>,
  from: string,
  to: number,
  more: Partial<RouteRegisters> = {},
): string {
  const topology = new Topology(machine(acs));
  const registers = { ...DESCRIBED_REGISTERS, ...more };
  const range = buildRouteTable(new BusTree(topology), topology.function(from), registers).find(to);
  return range === null ? 'up' : (range.target?.bdf ?? `${range.refusal!.by.bdf}: ${range.refusal!.reason}`);
}

describe('request redirection and egress control', () => {
  test.each([
    ['neither', 0, true, NODE.A0],
    ['redirection alone', RR, false, 'up'],
    ['egress control, vector bit set', EC, true, `${NODE.D1}: egress control`],
    ['egress control, vector bit clear', EC, false, NODE.A0],
    ['both, vector bit set', EC | RR, true, 'up'],
    ['both, vector bit clear', EC | RR, false, NODE.A0],
  ])('%s', (_name, ctrl, denied, expected) => {
    const egressDenied: RouteRegisters['egressDenied'] = (fn, to) => denied && fn.bdf === NODE.D1 && to.bdf === NODE.D0;
    expect(way({ [NODE.D1]: ctrl }, NODE.B, BAR.A + 0x1000, { egressDenied })).toBe(expected);
  });
});

describe('an address inside the window of the port that a packet comes from', () => {
  test('is refused by the port, and by the upstream port when no other one has it', () => {
    expect(way({}, NODE.A1, BAR.A + BAR.A_BYTES)).toBe(`${NODE.U0}: nobody in the bridge window`);
    expect(way({}, NODE.B, BAR.B + 0x8_0000)).toBe(NODE.B);
    expect(way({}, NODE.B, BAR.B + 0x10_0000)).toBe('up');
  });

  test('goes up with upstream forwarding or redirection, and the root complex gives it back', () => {
    const own = { [NODE.A1]: RR };
    const ends = (acs: Readonly<Record<string, number>>): string => way({ ...own, ...acs }, NODE.A1, BAR.A);
    expect(ends({})).toBe(`${NODE.D0}: nobody in the bridge window`);
    expect(ends({ [NODE.D0]: UF })).toBe(`${NODE.U0}: nobody in the bridge window`);
    expect(ends({ [NODE.D0]: RR })).toBe('up');
    expect(ends({ [NODE.D0]: RR | UF })).toBe('up');
  });
});

describe('live registers of bridges', () => {
  const bytes = Uint8Array.of(1, 2, 3, 4);

  /** The machine with windows, and a function that reaches A through the switch, another through the root complex. */
  function live(host: Parameters<typeof testSystem>[0]): { pci: PciSystem; b: PciFunction; c: PciFunction } {
    const pci = PciSystem.create(host, { topology: machine({}), iommu: false, checks: false });
    return { pci, b: pci.function(NODE.B), c: pci.function(NODE.C) };
  }

  test('a BAR outside the window of a bridge above is reached neither way', () => {
    using host = testMachine();
    const { pci, b, c } = live(host);
    for (const { dma } of [b, c]) expect(dma.tryWrite(BAR.A + 0x1000, bytes)).toBe(4);
    const d0 = pci.function(NODE.D0).config;
    const [window, upper] = [d0.read(0x24, 4), d0.read(0x28, 4)];
    // Only the second MiB is left of the window.
    d0.write(0x24, 4, (window & ~0xffff) | (window & 0xffff) | 0x10);
    expect(b.dma.tryWrite(BAR.A + 0x1000, bytes)).toBe(0);
    expect(b.dma.fault).toMatchObject({ kind: 'aer-ur', reason: 'nobody in the bridge window' });
    expect(c.dma.tryWrite(BAR.A + 0x1000, bytes)).toBe(0);
    expect(c.dma.fault).toMatchObject({ kind: 'aer-ur', reason: 'outside the windows of the bridges above' });
    expect(pci.function(NODE.RP0).config.aerStatus).toBe(0x0010_0000);
    for (const { dma } of [b, c]) expect(dma.tryWrite(BAR.A + 0x10_1000, bytes)).toBe(4);
    d0.write(0x24, 4, window);
    d0.write(0x28, 4, upper);
    for (const { dma } of [b, c]) expect(dma.tryWrite(BAR.A + 0x1000, bytes)).toBe(4);
  });

  test('a bridge that does not decode memory lets nothing down, one that may not master lets nothing up', () => {
    using host = testMachine();
    const { pci, b, c } = live(host);
    const d0 = pci.function(NODE.D0).config;
    d0.command = 0x4;
    expect(b.dma.tryWrite(BAR.A, bytes)).toBe(0);
    expect(c.dma.tryWrite(BAR.A, bytes)).toBe(0);
    d0.command = 0x6;
    expect(c.dma.tryWrite(BAR.A, bytes)).toBe(4);
    pci.function(NODE.D1).config.busMaster = false;
    expect(() => b.dma.write(BAR.A, bytes)).toThrow(/aer-ur.*bridge may not master the bus/u);
    expect(pci.function(NODE.D1).config.aerStatus).toBe(0x0010_0000);
    expect(c.dma.tryWrite(BAR.A, bytes)).toBe(4);
  });
});

test('the egress control vector is asked as it is at the moment', () => {
  using host = testMachine();
  const pci = PciSystem.create(host, { topology: machine({ [NODE.D1]: EC }), iommu: false, checks: false });
  const b = pci.function(NODE.B);
  const { config } = pci.function(NODE.D1);
  const vector = config.extCapabilityAt(ExtCapId.ACS) + 8;
  expect(b.dma.tryWrite(BAR.A, Uint8Array.of(1))).toBe(1);
  config.write(vector, 4, 1);
  expect(() => b.dma.write(BAR.A, Uint8Array.of(1))).toThrow(/acs-violation.*egress control/u);
  expect(config.aerStatus).toBe(0x0020_0000);
  config.acsControl |= RR;
  expect(pci.router.tableOf(b.topology).find(BAR.A)).toBeNull();
  config.write(vector, 4, 2);
  expect(pci.router.tableOf(b.topology).find(BAR.A)?.target?.bdf).toBe(NODE.A0);
});

test('routes of a machine of 320 functions are found at once', () => {
  using host = testMachine({ arenaBytes: 64 << 20 });
  const small = smallTopology();
  const ports = Array.from({ length: 31 }, (_, slot) => slot);
  const hex = (value: number): string => value.toString(16).padStart(2, '0');
  const many = ports.flatMap((slot) => {
    const bus = 0x10 + slot;
    const port = { ...small.functions.find(({ kind }) => kind === 'downstream-port')! };
    const endpoints = Array.from({ length: 8 }, (_, func) => ({
      ...small.functions.find(({ bdf }) => bdf === NODE.A1)!,
      bdf: `0000:${hex(bus)}:00.${func}`,
      bars: [
        {
          index: 0,
          start: BAR.C + (slot * 8 + func) * 0x1000,
          size: 0x1000,
          kind: 'mem64' as const,
          prefetchable: true,
        },
      ],
    }));
    return [{ ...port, bdf: `0000:0f:${hex(slot)}.0`, secondary: bus, subordinate: bus }, ...endpoints];
  });
  const rp1 = small.functions.map((fn) => {
    if (fn.bdf === NODE.RP1) return { ...fn, subordinate: 0x40 };
    return fn.bdf === NODE.C
      ? { ...fn, kind: 'upstream-port' as const, bars: [], secondary: 0x0f, subordinate: 0x40 }
      : fn;
  });
  const pci = PciSystem.create(host, {
    topology: { ...small, functions: [...rp1, ...many] },
    iommu: false,
    checks: false,
  });
  expect(pci.functions.length).toBeGreaterThan(280);
  const clients = pci.functions.filter(({ kind }) => kind === 'endpoint');
  const reached = clients.reduce((sum, { topology }) => sum + pci.router.tableOf(topology).ranges.length, 0);
  expect(reached).toBeGreaterThan(248 * 248);
  const first = pci.function('10:00.0');
  expect(first.dma.tryWrite(pci.function('2e:00.7').bar(0)!.busAddress, Uint8Array.of(1))).toBe(1);
});
