import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { ATS_CTRL, ExtCapId } from '../../config-space/index.ts';
import { PciSystem } from '../../system/index.ts';
import type { PciOptions } from '../../system/options.ts';
import { BAR, NODE, smallTopology } from '../../system/test-system.ts';
import { AcsBit, type AcsKnowledge } from '../../topology/index.ts';
import { DeviceTlb, IommuProt, IotlbGather } from '../index.ts';

const RW = IommuProt.READ | IommuProt.WRITE;
const IOVA = 0x10_0000;
const PAGE = 4096;

/** The small topology, whose function B has ATS, with access control on for isolation. */
function atsSystem(
  machine: ReturnType<typeof testMachine>,
  options: Partial<PciOptions> & { ports?: AcsKnowledge } = {},
): PciSystem {
  const { ports, ...rest } = options;
  const topology = smallTopology(ports === undefined ? {} : { ports });
  const functions = topology.functions.map((fn) => (fn.bdf === NODE.B ? { ...fn, ats: true } : fn));
  return PciSystem.create(machine, { topology: { ...topology, functions }, ...rest });
}

describe('ATS', () => {
  test('is switched by the function’s register, once, where it is trusted and able', () => {
    using machine = testMachine();
    const pci = atsSystem(machine);
    const [b, c] = [pci.function(NODE.B), pci.function(NODE.C)];
    expect(() => c.enableAts()).toThrow(/EINVAL.*no ATS/u);
    expect(() => b.enableAts(11)).toThrow(/EINVAL.*2\^11 bytes/u);
    b.enableAts(13);
    const at = b.config.findExtCapability(ExtCapId.ATS);
    expect(b.config.read(at + ATS_CTRL, 2)).toBe(0x8001);
    expect(() => b.enableAts(11)).toThrow(/EBUSY/u);
    b.disableAts();
    expect([b.config.read(at + ATS_CTRL, 2), b.deviceTlb]).toEqual([0x0001, null]);
    b.disableAts();
    b.untrusted = true;
    expect(() => b.enableAts()).toThrow(/EINVAL.*untrusted/u);
  });

  test('a cache that no function uses is found', () => {
    using machine = testMachine();
    const pci = atsSystem(machine);
    const b = pci.function(NODE.B);
    b.enableAts();
    const lost = new DeviceTlb(machine, DeviceTlb.create(machine, b.index));
    expect(machine.verify().leaks).toEqual([expect.stringContaining('kept by 0000:')]);
    lost.destroy();
    b.disableAts();
  });

  test('every failing allocation is unwound', () => {
    using machine = testMachine();
    const b = atsSystem(machine).function(NODE.B);
    expect(b.iommu.type).toBe('dma');
    for (let nth = 1; nth <= 2; nth++) {
      machine.faults.failNth(nth, { site: 'pci.ats' });
      expect(() => b.enableAts()).toThrow(/ENOMEM/u);
      machine.faults.off();
      expect(b.deviceTlb).toBeNull();
    }
    b.enableAts();
    b.disableAts();
  });

  test('translations are asked for once and kept by the device', () => {
    using machine = testMachine();
    const pci = atsSystem(machine);
    const b = pci.function(NODE.B);
    const ram = pci.memory.allocPages(2);
    b.enableAts();
    b.iommu.map(IOVA, ram, 2 * PAGE, RW);
    const bytes = Uint8Array.from({ length: 6000 }, (_, i) => i);
    for (let i = 0; i < 3; i++) b.dma.write(IOVA + 100, bytes);
    expect(pci.memory.cpuRead(ram + 100, 6000)).toEqual(bytes);
    expect(b.deviceTlb!.stats).toMatchObject({ hits: 4, misses: 2 });
    expect(b.iommu.iotlbStats).toMatchObject({ hits: 0, misses: 2 });
    b.iommu.unmap(IOVA, 2 * PAGE);
    expect(b.deviceTlb!.count).toBe(0);
    expect(() => b.dma.write(IOVA, bytes)).toThrow(/iommu-fault.*not mapped/u);
    b.iommu.map(IOVA, ram, PAGE, IommuProt.READ);
    expect(() => b.dma.write(IOVA, bytes)).toThrow(/iommu-fault.*permission/u);
    expect(b.dma.read(IOVA + 100, 8)).toEqual(bytes.subarray(0, 8));
    b.iommu.unmap(IOVA, PAGE);
    pci.memory.freePages(ram, 2);
  });

  test('what is unmapped without an invalidation stays usable, which is noted as the device’s own', () => {
    using machine = testMachine();
    const pci = atsSystem(machine);
    const b = pci.function(NODE.B);
    const ram = pci.memory.allocPages(1);
    b.enableAts();
    b.iommu.map(IOVA, ram, PAGE, RW);
    b.dma.write(IOVA, Uint8Array.of(1));
    const gather = new IotlbGather();
    b.iommu.unmapFast(IOVA, PAGE, gather);
    b.dma.write(IOVA, Uint8Array.of(2));
    expect(pci.faults.list()).toMatchObject([
      { kind: 'stale-iotlb-hit', reason: expect.stringContaining('cache of the device') },
    ]);
    b.iommu.iotlbSync(gather);
    expect(() => b.dma.write(IOVA, Uint8Array.of(3))).toThrow(/not mapped/u);
    pci.memory.freePages(ram, 1);
  });

  test('a device that does not answer an invalidation keeps its translations; it is given up after three attempts', () => {
    using machine = testMachine();
    const pci = atsSystem(machine);
    const b = pci.function(NODE.B);
    const ram = pci.memory.allocPages(1);
    machine.diag.expect('warn', 'ats-invalidation-timeout');
    b.enableAts();
    const tlb = b.deviceTlb!;
    b.iommu.map(IOVA, ram, PAGE, RW);
    b.dma.write(IOVA, Uint8Array.of(1));
    tlb.ignoreInvalidations(2);
    b.iommu.unmap(IOVA, PAGE);
    expect(tlb).toMatchObject({ timeouts: 2, count: 0 });
    b.iommu.map(IOVA, ram, PAGE, RW);
    b.dma.write(IOVA, Uint8Array.of(2));
    tlb.ignoreInvalidations(Infinity);
    b.iommu.unmap(IOVA, PAGE);
    expect(tlb).toMatchObject({ timeouts: 5, count: 1 });
    b.dma.write(IOVA, Uint8Array.of(3));
    expect(pci.memory.cpuRead(ram, 1)).toEqual(Uint8Array.of(3));
    expect(pci.faults.count('stale-iotlb-hit')).toBe(1);
    b.surpriseRemove();
    b.iommu.flushIotlb();
    expect(tlb.timeouts).toBe(5);
    pci.memory.freePages(ram, 1);
  });

  test('another domain: nothing of the former one is left', () => {
    using machine = testMachine();
    const pci = atsSystem(machine);
    const b = pci.function(NODE.B);
    const ram = pci.memory.allocPages(1);
    b.enableAts();
    const domain = pci.createDomain();
    domain.map(IOVA, ram, PAGE, RW);
    b.attachDomain(domain);
    b.dma.write(IOVA, Uint8Array.of(1));
    expect(b.deviceTlb!.count).toBe(1);
    b.attachDomain(null);
    expect(() => b.dma.write(IOVA, Uint8Array.of(2))).toThrow(/not mapped/u);
    domain.unmap(IOVA, PAGE);
    domain.destroy();
    pci.memory.freePages(ram, 1);
  });

  test('lazy domains flush the devices’ translations as well', () => {
    using machine = testMachine({ clock: 'manual' });
    const pci = atsSystem(machine, { strict: false });
    const b = pci.function(NODE.B);
    const ram = pci.memory.allocPages(1);
    b.enableAts();
    const iova = b.iommu.iovaAlloc(PAGE);
    b.iommu.map(iova, ram, PAGE, RW);
    b.dma.write(iova, Uint8Array.of(1));
    b.iommu.unmapFast(iova, PAGE, new IotlbGather());
    b.iommu.flushQueue!.add(iova, PAGE);
    b.dma.write(iova, Uint8Array.of(2));
    expect([b.iommu.flushQueue!.hits, pci.faults.count()]).toEqual([1, 0]);
    machine.clock.advance(10);
    expect(() => b.dma.write(iova, Uint8Array.of(3))).toThrow(/not mapped/u);
    pci.memory.freePages(ram, 1);
  });

  describe.each([
    ['redirects all', AcsBit.RequestRedirect, 'iommu'],
    ['lets translated requests turn', AcsBit.RequestRedirect | AcsBit.DirectTranslated, 'direct'],
  ] as const)('below a switch that %s', (_, ctrl, way) => {
    test('a peer is reached all the same', () => {
      using machine = testMachine();
      const pci = atsSystem(machine, { ports: { cap: 0x7f, ctrl }, iommu: true });
      const b = pci.function(NODE.B);
      b.enableAts();
      for (const port of [NODE.D0, NODE.D1, NODE.RP0]) pci.function(port).config.acsControl = ctrl;
      b.iommu.map(IOVA, BAR.A, PAGE, RW);
      b.dma.write(IOVA, Uint8Array.of(7));
      expect(pci.memory.cpuRead(BAR.A, 1)).toEqual(Uint8Array.of(7));
      expect(pci.router.tableFor(b.topology, { translated: true }).find(BAR.A) === null).toBe(way === 'iommu');
      b.iommu.unmap(IOVA, PAGE);
    });
  });

  test('translation blocking stops translated requests', () => {
    using machine = testMachine();
    const pci = atsSystem(machine, { ports: { cap: 0x7f, ctrl: 0 } });
    const b = pci.function(NODE.B);
    const ram = pci.memory.allocPages(1);
    b.enableAts();
    pci.function(NODE.D1).config.acsControl = AcsBit.TranslationBlocking;
    b.iommu.map(IOVA, ram, PAGE, RW);
    expect(() => b.dma.write(IOVA, Uint8Array.of(7))).toThrow(/acs-violation.*translation blocking/u);
    b.iommu.unmap(IOVA, PAGE);
    pci.memory.freePages(ram, 1);
  });
});
