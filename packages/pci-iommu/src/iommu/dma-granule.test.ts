import { DmaDirection } from '@dmabuf-emu/core';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { NODE, testSystem } from '../system/test-system.ts';
import { dmaIovaDestroy, dmaIovaLink, dmaIovaSync, dmaIovaTryAlloc, dmaMapPhys, dmaUnmapPhys } from './index.ts';
import { KIB, MIB } from './test-domain.ts';

const GRANULE = 64 * KIB;
const OPTIONS = { pgsizeBitmap: GRANULE + 512 * MIB };

// A page of the IOMMU that is larger than one of the CPU: mistakes at the ends of ranges show.
describe('DMA API with a granule of 64 KiB', () => {
  test('a range in the middle of a granule is mapped with all of it, and given back', () => {
    using machine = testMachine();
    const pci = testSystem(machine, OPTIONS);
    const nic = pci.function(NODE.C);
    const ram = pci.memory.allocPages(32, 16);
    const paddr = ram + 20 * KIB + 0x234;
    const address = dmaMapPhys(nic, paddr, 60 * KIB, DmaDirection.BIDIRECTIONAL, {});
    expect(address % GRANULE).toBe(paddr % GRANULE);
    expect(nic.iommu.mappedPages).toBe(32);
    expect(nic.iommu.leafSizeAt(address)).toBe(GRANULE);
    expect(nic.dma.write(address, new Uint8Array([1, 2, 3]))).toBe(3);
    expect([...pci.memory.cpuRead(paddr, 3)]).toEqual([1, 2, 3]);
    dmaUnmapPhys(nic, address, 60 * KIB);
    expect(nic.iommu.mappedPages).toBe(0);
    expect(nic.iommu.livePages).toBe(0);
    pci.memory.freePages(ram, 32);
  });

  test('ranges that are linked: the first may begin inside a granule, another is EIO', () => {
    using machine = testMachine();
    const pci = testSystem(machine, OPTIONS);
    const nic = pci.function(NODE.C);
    const ram = pci.memory.allocPages(64, 16);
    const state = { addr: 0, size: 0 };
    expect(dmaIovaTryAlloc(nic, state, ram + 4096, 188 * KIB)).toBe(true);
    expect(state.addr % GRANULE).toBe(4096);
    dmaIovaLink(nic, state, ram + 4096, 0, 60 * KIB, DmaDirection.TO_DEVICE, {});
    machine.diag.expect('warn', 'dma_iova_link');
    expect(() => dmaIovaLink(nic, state, ram + GRANULE + 4096, 60 * KIB, 64 * KIB, DmaDirection.TO_DEVICE, {})).toThrow(
      expect.objectContaining({ code: 'EIO' }),
    );
    dmaIovaLink(nic, state, ram + 2 * GRANULE, 60 * KIB, 2 * GRANULE, DmaDirection.TO_DEVICE, {});
    dmaIovaSync(nic, state, 0, 188 * KIB);
    expect(nic.iommu.iovaToPhys(state.addr)).toBe(ram + 4096);
    expect(nic.iommu.iovaToPhys(state.addr + 60 * KIB)).toBe(ram + 2 * GRANULE);
    dmaIovaDestroy(nic, state, 188 * KIB);
    expect(nic.iommu.mappedPages).toBe(0);
    expect(nic.iommu.livePages).toBe(0);
    pci.memory.freePages(ram, 64);
  });
});
