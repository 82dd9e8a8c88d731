import { DmaDirection } from '@dmabuf-emu/core';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { PciSystem } from '../system/index.ts';
import type { PciOptions } from '../system/options.ts';
import { BAR, NODE, smallTopology } from '../system/test-system.ts';
import {
  DMA_MAPPING_ERROR,
  type DmaIovaState,
  dmaIovaDestroy,
  dmaIovaLink,
  dmaIovaTryAlloc,
  dmaMapPhys,
  dmaSetCoherentMask,
  dmaSetMask,
  dmaSetMaskAndCoherent,
  dmaUnmapPhys,
} from './index.ts';

const RW = DmaDirection.BIDIRECTIONAL;
const MMIO = { mmio: true };
const PAGE = 4096;

/** Function C and its system; memory at 0 is seen at 2 GiB from the bus if `inbound`. */
function clientOf(machine: ReturnType<typeof testMachine>, options: Partial<PciOptions> = {}, inbound = false) {
  const topology = smallTopology();
  const dmaRanges = [{ start: 0, end: 0x1f_ffff_ffff, busOffset: 0x8000_0000 }];
  const hostBridges = topology.hostBridges.map((bridge) => (inbound ? { ...bridge, dmaRanges } : bridge));
  const pci = PciSystem.create(machine, { topology: { ...topology, hostBridges }, ...options });
  return { pci, c: pci.function(NODE.C) };
}

describe('dma_map_phys without translation (drivers §1.8)', () => {
  test.each([
    ['7.1', BAR.A],
    ['7.3', BAR.A + 0x8000_0000],
  ] as const)('MMIO on kernel %s is mapped at 0x%x', (kernel, expected) => {
    using machine = testMachine({ kernel });
    const { c } = clientOf(machine, { iommu: false }, true);
    expect(dmaMapPhys(c, BAR.A, PAGE, RW, MMIO)).toBe(expected);
  });

  test('RAM is mapped where the inbound ranges show it, on every kernel', () => {
    using machine = testMachine();
    const { c } = clientOf(machine, { iommu: false }, true);
    expect(dmaMapPhys(c, 0x1000, PAGE, RW, {})).toBe(0x8000_1000);
  });

  test('what no inbound range covers cannot be reached', () => {
    using machine = testMachine({ kernel: '7.3' });
    machine.diag.expect('warn', 'dma_direct_map_phys');
    const { c } = clientOf(machine, { iommu: false }, true);
    expect(dmaMapPhys(c, BAR.D, PAGE, RW, MMIO)).toBe(DMA_MAPPING_ERROR);
    expect(machine.diag.count('warn')).toBe(1);
  });

  test('the mask is compared with the last byte', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'dma_direct_map_phys');
    const { c } = clientOf(machine, { iommu: false, dmaMask: BAR.A + PAGE - 1 });
    expect(dmaMapPhys(c, BAR.A, PAGE, RW, MMIO)).toBe(BAR.A);
    expect(dmaMapPhys(c, BAR.A, PAGE + 1, RW, MMIO)).toBe(DMA_MAPPING_ERROR);
  });

  test('a device that must bounce maps no MMIO; there is no copy path', () => {
    using machine = testMachine();
    const { c } = clientOf(machine, { iommu: false });
    c.forceBounce = true;
    expect(dmaMapPhys(c, BAR.A, PAGE, RW, MMIO)).toBe(DMA_MAPPING_ERROR);
    expect(machine.diag.count('warn')).toBe(0);
  });
});

describe.each([true, false])('dma_map_phys, IOMMU %s', (iommu) => {
  test('without a mask: WARN once, error', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'dma_map_phys');
    const { c } = clientOf(machine, { iommu, dmaMask: 0 });
    for (let i = 0; i < 2; i++) expect(dmaMapPhys(c, 0x1000, PAGE, RW, {})).toBe(DMA_MAPPING_ERROR);
    expect(machine.diag.count('warn')).toBe(1);
  });

  test('without a direction: BUG', () => {
    using machine = testMachine();
    machine.diag.expect('bug', 'dma-direction');
    const { c } = clientOf(machine, { iommu });
    expect(() => dmaMapPhys(c, 0x1000, PAGE, DmaDirection.NONE, {})).toThrow(/needs a direction/u);
  });
});

describe('swiotlb (drivers §3.6)', () => {
  test.each([
    ['7.1', false],
    ['7.3', true],
  ] as const)('unaligned MMIO of an untrusted device on kernel %s', (kernel, mapped) => {
    using machine = testMachine({ kernel });
    const { c } = clientOf(machine, { untrusted: [NODE.C] });
    const address = dmaMapPhys(c, BAR.A + 16, 100, RW, MMIO);
    expect(address !== DMA_MAPPING_ERROR).toBe(mapped);
    if (mapped) dmaUnmapPhys(c, address, 100);
    expect(dmaMapPhys(c, 0x1010, 100, RW, {})).toBe(DMA_MAPPING_ERROR);
    const whole = dmaMapPhys(c, BAR.A, PAGE, RW, MMIO);
    expect(whole).not.toBe(DMA_MAPPING_ERROR);
    dmaUnmapPhys(c, whole, PAGE);
  });

  test('linking unaligned MMIO of an untrusted device is EPERM, an unaligned second range EIO', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'dma_iova_link');
    const { pci, c } = clientOf(machine, { untrusted: [NODE.C] });
    const state: DmaIovaState = { addr: 0, size: 0 };
    expect(dmaIovaTryAlloc(c, state, BAR.A + 16, 2 * PAGE)).toBe(true);
    expect(() => dmaIovaLink(c, state, BAR.A + 16, 0, PAGE, RW, MMIO)).toThrow(/EPERM/u);
    dmaIovaDestroy(c, state, 0);
    const b = pci.function(NODE.B);
    expect(dmaIovaTryAlloc(b, state, 0, 2 * PAGE)).toBe(true);
    expect(() => dmaIovaLink(b, state, BAR.A + 16, PAGE, PAGE, RW, MMIO)).toThrow(/EIO/u);
    dmaIovaDestroy(b, state, 0);
  });
});

describe('masks (drivers §3.4)', () => {
  test('behind an IOMMU any mask will do; without one, the memory kept for such devices must be in reach', () => {
    using machine = testMachine();
    const { c } = clientOf(machine);
    dmaSetMaskAndCoherent(c, 2 ** 20 - 1);
    expect(c.device).toMatchObject({ dmaMask: 2 ** 20 - 1, coherentDmaMask: 2 ** 20 - 1 });
    using direct = testMachine({ memoryBytes: 64 << 20 });
    const { c: d } = clientOf(direct, { iommu: false });
    expect(() => dmaSetMask(d, 2 ** 23 - 1)).toThrow(/EIO.*mask 0x7fffff/u);
    expect(() => dmaSetCoherentMask(d, 2 ** 23 - 1)).toThrow(/EIO/u);
    expect(d.device.dmaMask).toBe(2 ** 64);
    dmaSetMask(d, 2 ** 24 - 1);
    dmaSetCoherentMask(d, 2 ** 32 - 1);
    expect(d.device).toMatchObject({ dmaMask: 2 ** 24 - 1, coherentDmaMask: 2 ** 32 - 1, maxSegmentSize: 65_536 });
  });

  test('addresses of translated mappings are below the mask', () => {
    using machine = testMachine();
    const { c } = clientOf(machine);
    dmaSetMask(c, 2 ** 30 - 1);
    const address = dmaMapPhys(c, BAR.A, PAGE, RW, MMIO);
    expect(address).toBe(2 ** 30 - PAGE);
    dmaUnmapPhys(c, address, PAGE);
  });
});

describe('deferred attach', () => {
  test('a function reaches nothing until the DMA API uses it, and is then attached, or the call fails', () => {
    using machine = testMachine();
    const { c } = clientOf(machine, { deferredAttach: true });
    expect([c.iommu.type, c.isAttachDeferred]).toEqual(['blocked', true]);
    expect(c.dma.tryWrite(0x1000, Uint8Array.of(1))).toBe(0);
    const state: DmaIovaState = { addr: 0, size: 0 };
    machine.faults.failNth(1, { site: 'iommu.domain' });
    expect(dmaIovaTryAlloc(c, state, 0, PAGE)).toBe(false);
    machine.faults.failNth(1, { site: 'iommu.domain' });
    expect(dmaMapPhys(c, BAR.A, PAGE, RW, MMIO)).toBe(DMA_MAPPING_ERROR);
    expect([machine.faults.count, c.iommu.type]).toEqual([2, 'blocked']);
    const address = dmaMapPhys(c, BAR.A, PAGE, RW, MMIO);
    expect([c.iommu.type, c.isAttachDeferred]).toEqual(['dma', false]);
    dmaUnmapPhys(c, address, PAGE);
  });
});

test('quirk iommu.iovaDestroyQueued (and kernel 7.1-rc2): linked ranges are queued too', () => {
  for (const kernel of ['7.1', '7.1-rc2'] as const) {
    using machine = testMachine({ kernel, clock: 'manual' });
    const { c } = clientOf(machine, { strict: false });
    const state: DmaIovaState = { addr: 0, size: 0 };
    expect(dmaIovaTryAlloc(c, state, 0, PAGE)).toBe(true);
    dmaIovaLink(c, state, BAR.A, 0, PAGE, RW, MMIO);
    dmaIovaDestroy(c, state, PAGE);
    expect(c.iommu.flushQueue!.length).toBe(kernel === '7.1' ? 0 : 1);
  }
});
