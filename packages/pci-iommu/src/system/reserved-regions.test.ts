import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { DmaDirection } from '@dmabuf-emu/core';
import { dmaMapPhys, dmaMappingError, dmaUnmapPhys } from '../iommu/index.ts';
import { PciSystem } from './pci-system.ts';
import { NODE, smallTopology, testSystem } from './test-system.ts';

const MIB = 2 ** 20;
const RW = DmaDirection.BIDIRECTIONAL;

/** {@link smallTopology} with inbound ranges below its first host bridge. */
function inbound(dmaRanges: { start: number; end: number; busOffset: number }[]) {
  const topology = smallTopology();
  return { ...topology, hostBridges: topology.hostBridges.map((bridge) => ({ ...bridge, dmaRanges })) };
}

describe('reserved IOVAs (drivers §3.2)', () => {
  test('the windows of the host bridge, as bus addresses', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { busOffset: -0x8_0000_0000, cpu: { vendor: 'ARM', family: null } });
    expect(pci.function(NODE.C).iommu.iova!.ranges()).toEqual([
      [0x8_0000, 0xc_0000],
      [0xf_ee00, 0xf_ef00],
      [0x80_0000, 0x180_0000],
    ]);
  });

  test('the window of interrupt messages', () => {
    using machine = testMachine();
    const { iommu } = testSystem(machine).function(NODE.C);
    const [first, second] = [iommu.iovaAlloc(16 * MIB, 2 ** 32 - 1), iommu.iovaAlloc(16 * MIB, 2 ** 32 - 1)];
    expect([first, second]).toEqual([0xff00_0000, 0xfd00_0000]);
    for (const iova of [first, second]) iommu.iovaFree(iova, 16 * MIB);
  });

  test('gaps of the inbound ranges, as bus addresses', () => {
    using machine = testMachine();
    const topology = inbound([
      { start: 0x4000_0000, end: 0x4fff_ffff, busOffset: 0 },
      { start: 0x1000_0000, end: 0x1fff_ffff, busOffset: 0x1000_0000 },
    ]);
    const { iommu } = PciSystem.create(machine, { topology }).function(NODE.C);
    const taken = iommu.iova!.ranges();
    expect(taken[0]).toEqual([1, 0x2_0000]);
    expect(taken[1]).toEqual([0x3_0000, 0x4_0000]);
    expect(taken[2]![0]).toBe(0x5_0000);
    expect(taken.at(-1)![1]).toBe(2 ** 36);
    const iova = iommu.iovaAlloc(MIB);
    expect(iova).toBe(0x4ff0_0000);
    iommu.iovaFree(iova, MIB);
  });

  test('inbound ranges that overlap are refused', () => {
    using machine = testMachine();
    const topology = inbound([
      { start: 0x4000_0000, end: 0x4fff_ffff, busOffset: 0 },
      { start: 0x1000_0000, end: 0x1fff_ffff, busOffset: 0x3800_0000 },
    ]);
    const nic = PciSystem.create(machine, { topology }).function(NODE.C);
    expect(() => nic.iommu).toThrow(/EINVAL.*inbound ranges of 0000:00 overlap at 0x48000000/u);
  });
});

describe('limits of a device (drivers §3.2)', () => {
  test('below 4 GiB first, until that fails once: then never again', () => {
    using machine = testMachine({ memoryBytes: 16 * MIB });
    const pci = testSystem(machine);
    const nic = pci.function(NODE.C);
    const ram = pci.memory.allocPages(1);
    const low = dmaMapPhys(nic, ram, 4096, RW, {});
    expect(low).toBe(0xffff_f000);
    nic.iommu.iova!.reserve({ start: 0, end: 2 ** 32 - 1 });
    const wide = dmaMapPhys(nic, ram, 4096, RW, {});
    expect(wide).toBe(2 ** 48 - 4096);
    expect(nic.prefers32Bit).toBe(false);
    expect(machine.diag.records().map(({ code }) => code)).toContain('iommu-wide');
    for (const iova of [low, wide]) dmaUnmapPhys(nic, iova, 4096);
    // Recycled, although it is below 4 GiB or not: the newest one.
    expect(dmaMapPhys(nic, ram, 4096, RW, {})).toBe(wide);
    dmaUnmapPhys(nic, wide, 4096);
    pci.memory.freePages(ram, 1);
  });

  test('iommu.forcedac: wide addresses from the start', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { forcedac: true });
    const nic = pci.function(NODE.C);
    const ram = pci.memory.allocPages(1);
    const iova = dmaMapPhys(nic, ram, 4096, RW, {});
    expect(iova).toBe(2 ** 48 - 4096);
    dmaUnmapPhys(nic, iova, 4096);
    pci.memory.freePages(ram, 1);
  });

  test('a mask of 32 bits and a full space: no address', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { dmaMask: 2 ** 32 - 1 });
    const nic = pci.function(NODE.C);
    const ram = pci.memory.allocPages(1);
    nic.iommu.iova!.reserve({ start: 0, end: 2 ** 32 - 1 });
    expect(dmaMappingError(dmaMapPhys(nic, ram, 4096, RW, {}))).toBe(true);
    pci.memory.freePages(ram, 1);
  });
});
