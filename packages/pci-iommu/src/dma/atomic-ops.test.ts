import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { AtomicControl, CapId, EXP_DEVCTL2 } from '../config-space/index.ts';
import { IommuProt } from '../iommu/index.ts';
import type { PciFunction, PciSystem } from '../system/index.ts';
import { BAR, NODE, testSystem } from '../system/test-system.ts';
import type { CountingJob } from './atomic-ops.test-worker.ts';

const worker = new URL(import.meta.resolve('#dist/dma/atomic-ops.test-worker.js'));
const RW = IommuProt.READ | IommuProt.WRITE;

function control(fn: PciFunction, bits: number): void {
  fn.config.write(fn.config.capabilityAt(CapId.EXP) + EXP_DEVCTL2, 2, bits);
}

/** A system in which B and C may request AtomicOps. */
function atomicSystem(machine: Parameters<typeof testSystem>[0], iommu: boolean): PciSystem {
  const pci = testSystem(machine, { iommu, checks: false });
  for (const node of [NODE.B, NODE.C]) control(pci.function(node), AtomicControl.REQUESTER);
  return pci;
}

describe('AtomicOps', () => {
  test.each([
    ['a peer’s BAR below the switch', NODE.B],
    ['a peer’s BAR through the root complex', NODE.C],
  ])('change %s and return what was there', (_name, node) => {
    using machine = testMachine();
    const { atomics } = atomicSystem(machine, false).function(node).dma;
    expect(atomics.fetchAdd32(BAR.A + 4, 0xffff_ffff)).toBe(0);
    expect(atomics.fetchAdd32(BAR.A + 4, 3)).toBe(0xffff_ffff);
    expect(atomics.swap32(BAR.A + 4, 0x8000_0000)).toBe(2);
    expect(atomics.cas32(BAR.A + 4, 1, 9)).toBe(0x8000_0000);
    expect(atomics.cas32(BAR.A + 4, 0x8000_0000, 9)).toBe(0x8000_0000);
    expect(atomics.swap32(BAR.A + 4, 0)).toBe(9);
    expect(atomics.fetchAdd64(BAR.A + 8, 2n ** 64n - 1n)).toBe(0n);
    expect(atomics.swap64(BAR.A + 8, 2n ** 40n)).toBe(2n ** 64n - 1n);
    expect(atomics.cas64(BAR.A + 8, 0n, 1n)).toBe(2n ** 40n);
    expect(atomics.cas64(BAR.A + 8, 2n ** 40n, 5n)).toBe(2n ** 40n);
    expect(atomics.fetchAdd64(BAR.A + 8, 0n)).toBe(5n);
  });

  test('are atomic between threads, in RAM behind the IOMMU', { timeout: 60_000 }, async () => {
    using machine = testMachine();
    const pci = atomicSystem(machine, true);
    const page = pci.memory.allocPages(1);
    pci.memory.cpuFill(page, 0, 4096);
    for (const node of [NODE.B, NODE.C]) pci.function(node).iommu.map(0x10_0000, page, 4096, RW);
    const job = (bdf: string): CountingJob => ({ bdf, address: 0x10_0000, rounds: 5000 });
    const threads = [NODE.B, NODE.C].map((bdf) => startTestWorker<number>(worker, machine, job(bdf), bdf));
    await Promise.all(threads.map(({ result }) => result));
    expect(pci.memory.cpuRead(page, 4)).toEqual(Uint8Array.of(0x10, 0x27, 0, 0));
    expect(pci.memory.cpuRead(page + 8, 4)).toEqual(Uint8Array.of(0x10, 0x27, 0, 0));
    expect(pci.memory.cpuRead(page + 16, 4)).toEqual(Uint8Array.of(0x10, 0x27, 0, 0));
    for (const node of [NODE.B, NODE.C]) pci.function(node).iommu.unmap(0x10_0000, 4096);
    pci.memory.freePages(page, 1);
  });

  test('must be naturally aligned', () => {
    using machine = testMachine();
    const { atomics } = atomicSystem(machine, false).function(NODE.B).dma;
    expect(() => atomics.fetchAdd32(BAR.A + 2, 1)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(() => atomics.swap64(BAR.A + 4, 1n)).toThrow(/EINVAL.*not a multiple of 8/u);
  });

  test('need a page that may be read and written', () => {
    using machine = testMachine();
    const pci = atomicSystem(machine, true);
    const b = pci.function(NODE.B);
    for (const prot of [IommuProt.READ, IommuProt.WRITE]) {
      b.iommu.map(0x10_0000, BAR.A, 4096, prot);
      expect(() => b.dma.atomics.fetchAdd32(0x10_0000, 1)).toThrow(/iommu-fault.*permission/u);
      b.iommu.unmap(0x10_0000, 4096);
    }
    expect(() => b.dma.atomics.fetchAdd32(0x10_0000, 1)).toThrow(/iommu-fault.*not mapped/u);
  });

  test('need the requester’s enable bit', () => {
    using machine = testMachine();
    const b = atomicSystem(machine, false).function(NODE.B);
    control(b, 0);
    expect(() => b.dma.atomics.fetchAdd32(BAR.A, 1)).toThrow(expect.objectContaining({ code: 'EOPNOTSUPP' }));
  });

  test.each([
    ['the port of the target', NODE.B, NODE.D0, true],
    ['the port that it comes in by', NODE.B, NODE.D1, false],
    ['a port above the turn', NODE.B, NODE.RP0, false],
    ['the root port above the target', NODE.C, NODE.RP0, true],
    ['its own root port, which it does not leave', NODE.C, NODE.RP1, false],
  ])('egress blocking at %s', (_name, from, port, blocked) => {
    using machine = testMachine();
    const pci = atomicSystem(machine, false);
    control(pci.function(port), AtomicControl.EGRESS_BLOCK);
    const { atomics } = pci.function(from).dma;
    if (!blocked) {
      expect(atomics.swap32(BAR.A, 1)).toBe(0);
      return;
    }
    expect(() => atomics.swap32(BAR.A, 1)).toThrow(/aer-ur.*blocked at the egress/u);
    expect(pci.function(port).config.aerStatus).toBe(0x0100_0000);
    expect(pci.memory.cpuRead(BAR.A, 4)).toEqual(new Uint8Array(4));
    expect(pci.function(from).dma.tryWrite(BAR.A, Uint8Array.of(1))).toBe(1);
  });
});
