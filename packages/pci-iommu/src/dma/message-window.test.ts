import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { MESSAGE_WINDOW } from '../interrupts/index.ts';
import type { PciSystem } from '../system/index.ts';
import { NODE, testSystem } from '../system/test-system.ts';

const AT = MESSAGE_WINDOW.start + 0x1000;

function listen(pci: PciSystem): { readonly address: number; readonly data: number }[] {
  const heard: { readonly address: number; readonly data: number }[] = [];
  pci.interrupts.deliver = (address, data) => heard.push({ address, data }) > 0;
  return heard;
}

describe('a write in the window of the interrupt controllers', () => {
  test.each([true, false])('is an interrupt, not memory (IOMMU %s)', (iommu) => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu });
    const heard = listen(pci);
    const { dma } = pci.function(NODE.B);
    expect(dma.tryWrite(AT, Uint8Array.of(0x41, 0, 0, 0))).toBe(4);
    dma.store(AT + 4, 0x42);
    expect(heard).toEqual([
      { address: AT, data: 0x41 },
      { address: AT + 4, data: 0x42 },
    ]);
    expect(pci.faults.count()).toBe(0);
  });

  test('must be one aligned word', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    const heard = listen(pci);
    const { dma } = pci.function(NODE.B);
    for (const [address, length] of [
      [AT, 8],
      [AT, 2],
      [AT + 1, 4],
      [MESSAGE_WINDOW.end - 1, 4],
    ] as const)
      expect(dma.tryWrite(address, new Uint8Array(length))).toBe(0);
    expect(() => dma.store(AT + 2, 1)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(heard).toEqual([]);
    expect(pci.faults.list().map(({ reason }) => reason)).toEqual(
      Array.from({ length: 4 }, () => 'not an interrupt message'),
    );
  });

  test('cannot be made by other accesses, and nothing can be read there', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    const heard = listen(pci);
    const { dma } = pci.function(NODE.B);
    const into = new Uint8Array(4);
    expect(dma.tryReadInto(AT, into)).toBe(0);
    expect(into).toEqual(new Uint8Array(4).fill(0xff));
    expect(dma.tryFill(AT, 1, 4)).toBe(0);
    expect(dma.tryReadInto(MESSAGE_WINDOW.start - 64, new Uint8Array(128))).toBe(0);
    expect(heard).toEqual([]);
  });

  test('is refused to whom the bus or memory is closed', () => {
    using machine = testMachine();
    const pci = testSystem(machine);
    const heard = listen(pci);
    const b = pci.function(NODE.B);
    b.config.busMaster = false;
    expect(() => b.dma.store(AT, 1)).toThrow(/bus master is off/u);
    b.config.busMaster = true;
    b.block();
    expect(() => b.dma.store(AT, 1)).toThrow(/blocked domain/u);
    b.attachDomain(null);
    pci.function(NODE.D1).config.busMaster = false;
    expect(() => b.dma.store(AT, 1)).toThrow(/bridge may not master the bus/u);
    expect(heard).toEqual([]);
  });

  test('that is nobody’s is lost', () => {
    using machine = testMachine();
    const pci = testSystem(machine);
    expect(pci.function(NODE.B).dma.tryWrite(AT, new Uint8Array(4))).toBe(4);
    expect(pci.faults.count()).toBe(0);
  });
});
