import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { NODE, testSystem } from '../../system/test-system.ts';
import { FAULT_REGISTERS, type IommuFault, installFaultHandler, IommuProt } from '../index.ts';

const IOVA = 0x40_0000;
const BYTE = Uint8Array.of(1);

/** Function C, whose accesses fail, and the registers of its IOMMU. */
function faulty(machine: ReturnType<typeof testMachine>) {
  const pci = testSystem(machine);
  const c = pci.function(NODE.C);
  return { pci, c, ring: pci.faultRing(c.topology.hostBridge) };
}

describe('fault recording registers', () => {
  test('hold who wanted what of which page', () => {
    using machine = testMachine();
    const { pci, c, ring } = faulty(machine);
    expect(ring).toMatchObject({ pending: false, first: -1, interrupts: 0 });
    c.dma.tryWrite(IOVA + 20, BYTE);
    c.iommu.map(IOVA, 0, 4096, IommuProt.WRITE);
    c.dma.tryReadInto(IOVA + 20, new Uint8Array(1));
    c.iommu.unmap(IOVA, 4096);
    c.block();
    c.dma.tryWrite(IOVA, BYTE);
    const requesterId = c.topology.requesterId;
    expect([0, 1, 2, 3].map((i) => ring.read(i))).toEqual([
      { requesterId, address: IOVA, write: true, fault: 'write' },
      { requesterId, address: IOVA, write: false, fault: 'read' },
      { requesterId, address: IOVA, write: true, fault: 'context' },
      null,
    ]);
    expect(ring).toMatchObject({ pending: true, first: 0, overflowed: false, interrupts: 1 });
    expect(pci.faultRing(pci.function(NODE.D).topology.hostBridge).pending).toBe(false);
  });

  test('overflow: what finds no register is lost, and all that follows until software has cleared that', () => {
    using machine = testMachine();
    const { pci, c, ring } = faulty(machine);
    for (let i = 0; i < FAULT_REGISTERS + 3; i++) c.dma.tryWrite(IOVA + i * 4096, BYTE);
    expect(ring).toMatchObject({ overflowed: true, lost: 3, interrupts: 1 });
    ring.clear(0);
    c.dma.tryWrite(IOVA, BYTE);
    expect(ring).toMatchObject({ lost: 4, first: 1 });
    ring.clearOverflow();
    c.dma.tryWrite(IOVA + 0x10_0000, BYTE);
    expect(ring.read(0)!.address).toBe(IOVA + 0x10_0000);
    expect(ring.drain().map(({ address }) => (address - IOVA) / 4096)).toEqual([1, 2, 3, 4, 5, 6, 7, 256]);
    expect(ring).toMatchObject({ pending: false, overflowed: false });
    c.dma.tryWrite(IOVA, BYTE);
    expect(ring).toMatchObject({ first: 1, interrupts: 2 });
    expect(pci.faults.count('iommu-fault')).toBe(FAULT_REGISTERS + 6);
  });
});

describe('a fault handler of a domain', () => {
  test('is told of every refused access, in the middle of it', () => {
    using machine = testMachine();
    const { c } = faulty(machine);
    const seen: IommuFault[] = [];
    installFaultHandler(machine, { name: 'watcher', fault: (_, fault) => seen.push(fault) });
    c.iommu.onFault('watcher');
    c.dma.tryWrite(IOVA + 20, BYTE);
    c.dma.tryReadInto(IOVA, new Uint8Array(1));
    expect(seen).toEqual([
      { domain: c.iommu.ref, fn: c.index, iova: IOVA + 20, write: true },
      { domain: c.iommu.ref, fn: c.index, iova: IOVA, write: false },
    ]);
    c.iommu.onFault(null);
    c.dma.tryWrite(IOVA, BYTE);
    expect(seen).toHaveLength(2);
  });

  test('that the thread has not registered is an error that names it', () => {
    using machine = testMachine();
    const { c } = faulty(machine);
    c.iommu.onFault('nobody');
    expect(() => c.dma.tryWrite(IOVA, BYTE)).toThrow(/iommu-fault driver 'nobody' is not registered/u);
  });
});
