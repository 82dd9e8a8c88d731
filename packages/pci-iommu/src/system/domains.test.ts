import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { DomainStruct } from '#dist/iommu/domain-struct.js';
import { TableStruct } from '#dist/iommu/table-store.js';
import { IommuProt } from '../iommu/index.ts';
import { BAR, NODE, testSystem } from './test-system.ts';

const RW = IommuProt.READ | IommuProt.WRITE;
const IOVA = 0x7000_0000;

describe('the default domain of a group', () => {
  test('functions that cannot be kept apart share one; others have their own', () => {
    using machine = testMachine();
    const pci = testSystem(machine);
    const [a0, a1, b] = [NODE.A0, NODE.A1, NODE.B].map((bdf) => pci.function(bdf));
    expect(a0!.iommuGroup!.functions.map(({ bdf }) => bdf)).toEqual([NODE.A0, NODE.A1]);
    expect(a1!.iommu).toBe(a0!.iommu);
    expect(b!.iommu.ref).not.toBe(a0!.iommu.ref);

    const page = pci.memory.allocPages(1);
    const iova = a1!.iommu.iovaAlloc(4096);
    a1!.iommu.map(iova, page, 4096, RW);
    expect(a0!.dma.write(iova, new Uint8Array([7]))).toBe(1);
    expect(b!.dma.tryWrite(iova, new Uint8Array([8]))).toBe(0);
    expect(a0!.iommu.unmap(iova, 4096)).toBe(4096);
    a0!.iommu.iovaFree(iova, 4096);
    pci.memory.freePages(page, 1);
  });

  test('whoever asks first, it belongs to the first function of the group', () => {
    for (const order of [
      [NODE.A0, NODE.A1],
      [NODE.A1, NODE.A0],
    ]) {
      using machine = testMachine();
      const pci = testSystem(machine);
      const domains = order.map((bdf) => pci.function(bdf).iommu);
      expect(domains.map(({ owner }) => pci.functions[owner]!.bdf)).toEqual([NODE.A0, NODE.A0]);
    }
  });

  test('ports that do not isolate put everything below them in one group', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { ports: null });
    expect(pci.function(NODE.B).iommu).toBe(pci.function(NODE.A0).iommu);
    expect(pci.function(NODE.D).iommu).not.toBe(pci.function(NODE.A0).iommu);
  });

  test('the host bridge windows of its first function are never given out', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { busOffset: -0x4_0000_0000 });
    const ranges = pci.function(NODE.A1).iommu.iova!.ranges();
    expect(ranges).toContainEqual([0x8_0000, 0xc_0000]);
    expect(ranges).toContainEqual([0xc0_0000, 0x1c0_0000]);
  });

  test('is strict when one function of the group is not to be trusted', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { strict: false, untrusted: [NODE.A1] });
    expect(pci.function(NODE.A0).iommu.type).toBe('dma');
    expect(pci.function(NODE.B).iommu.type).toBe('dma-fq');
  });

  test('without an IOMMU there are no groups, and every address passes', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    expect(pci.groups).toEqual([]);
    expect(pci.function(NODE.A0).iommuGroup).toBeNull();
    expect(pci.function(NODE.A0).iommu).toBe(pci.function(NODE.B).iommu);
    expect(pci.function(NODE.A0).iommu.type).toBe('identity');
  });
});

describe('attaching', () => {
  test('several functions to one domain, and back', () => {
    using machine = testMachine();
    const pci = testSystem(machine);
    const [a0, a1, c] = [NODE.A0, NODE.A1, NODE.C].map((bdf) => pci.function(bdf));
    const domain = pci.createDomain();
    a0!.attachGroup(domain);
    c!.attachGroup(domain);
    expect(domain.devices).toBe(3);
    domain.map(IOVA, BAR.B, 4096, RW);
    for (const fn of [a0!, a1!, c!]) expect(fn.iommu.iovaToPhys(IOVA)).toBe(BAR.B);
    c!.attachGroup(null);
    expect(domain.devices).toBe(2);
    expect(c!.iommu.type).toBe('dma');
    a1!.attachGroup(null);
    expect(domain.devices).toBe(0);
    domain.unmap(IOVA, 4096);
    domain.destroy();
  });

  test('a group that somebody else has taken is EBUSY, and stays his', () => {
    using machine = testMachine();
    const pci = testSystem(machine);
    const [a0, a1] = [NODE.A0, NODE.A1].map((bdf) => pci.function(bdf));
    const [mine, other] = [pci.createDomain(), pci.createDomain()];
    a1!.attachGroup(mine);
    expect(() => a0!.attachGroup(other)).toThrow(expect.objectContaining({ code: 'EBUSY' }));
    expect([a0!.iommu.ref, a1!.iommu.ref]).toEqual([mine.ref, mine.ref]);
    a0!.attachGroup(mine);
    expect(mine.devices).toBe(2);
    a0!.attachGroup(null);
    a0!.block();
    a0!.attachGroup(other);
    expect([mine.devices, other.devices]).toEqual([0, 2]);
    a0!.attachGroup(null);
    mine.destroy();
    other.destroy();
  });
});

test('verify finds page tables that no domain has, and those that cannot be reached', () => {
  using machine = testMachine();
  const pci = testSystem(machine);
  const domain = pci.createDomain();
  domain.map(IOVA, BAR.B, 4096, RW);
  const slab = machine.slab(TableStruct);
  const stray = slab.alloc('test');
  const problems = (): string => [...machine.verify().errors, ...machine.verify().leaks].join('; ');
  expect(problems()).toMatch(/page tables are live, the domains have/u);
  slab.free(stray, 'test');
  const p = machine.slab(DomainStruct).at(domain.ref);
  DomainStruct.tableCount.add(machine.mem, p, 1);
  expect(problems()).toMatch(/tables can be reached of/u);
  DomainStruct.tableCount.sub(machine.mem, p, 1);
  domain.unmap(IOVA, 4096);
  domain.destroy();
  expect(machine.verify().ok).toBe(true);
});
