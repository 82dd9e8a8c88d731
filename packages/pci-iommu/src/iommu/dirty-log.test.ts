import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import type { PciFunction, PciSystem } from '../system/index.ts';
import { BAR, NODE, testSystem } from '../system/test-system.ts';
import { IommuProt } from './index.ts';
import type { IommuDomain } from './iommu-domain.ts';
import { domainOf, MIB } from './test-domain.ts';

const RW = IommuProt.READ | IommuProt.WRITE;
const IOVA = 0x40_0000_0000;
const PAGES = 1024;
const PAGE = 4096;

/** A NIC whose domain maps 4 MiB of RAM, and how it is taken apart. */
function withNic(
  movers: 'wasm' | 'js',
  fn: (nic: PciFunction, domain: IommuDomain, pci: PciSystem) => void,
  pgsizeBitmap?: number,
): void {
  using machine = testMachine({ movers, memoryBytes: 16 * MIB });
  const pci = testSystem(machine);
  const nic = pci.function(NODE.C);
  const domain = pci.createDomain(pgsizeBitmap === undefined ? {} : { pgsizeBitmap });
  const ram = pci.memory.allocPages(PAGES, PAGES);
  nic.attachDomain(domain);
  domain.map(IOVA, ram, PAGES * PAGE, RW);
  fn(nic, domain, pci);
  nic.attachDomain(null);
  domain.unmap(IOVA, PAGES * PAGE);
  domain.destroy();
  pci.memory.freePages(ram, PAGES);
}

describe.each(['wasm', 'js'] as const)('dirty tracking (%s)', (movers) => {
  test('tells the pages that a device wrote, once', () => {
    withNic(
      movers,
      (nic, domain) => {
        nic.dma.write(IOVA, new Uint8Array(1));
        domain.setDirtyTracking(true);
        expect(domain.readDirty(IOVA, PAGES * PAGE)).toEqual([]);

        nic.dma.write(IOVA + 2 * PAGE - 1, new Uint8Array(2));
        nic.dma.fill(IOVA + 9 * PAGE, 7, PAGE);
        nic.dma.store(IOVA + 20 * PAGE, 1);
        nic.dma.copy(IOVA + 40 * PAGE, IOVA + 60 * PAGE, 400 * PAGE);
        nic.dma.read(IOVA + 30 * PAGE, PAGE);
        const written = [
          { iova: IOVA + PAGE, size: 2 * PAGE },
          { iova: IOVA + 9 * PAGE, size: PAGE },
          { iova: IOVA + 20 * PAGE, size: PAGE },
          { iova: IOVA + 40 * PAGE, size: 400 * PAGE },
        ];
        expect(domain.readDirty(IOVA, PAGES * PAGE)).toEqual(written);
        expect(domain.readAndClearDirty(IOVA, 10 * PAGE)).toEqual(written.slice(0, 2));
        expect(domain.readAndClearDirty(IOVA, PAGES * PAGE)).toEqual(written.slice(2));
        expect(domain.readAndClearDirty(IOVA, PAGES * PAGE)).toEqual([]);

        nic.dma.write(IOVA + PAGE, new Uint8Array(1));
        domain.setDirtyTracking(false);
        domain.setDirtyTracking(true);
        expect(domain.readDirty(IOVA, PAGES * PAGE)).toEqual([]);
      },
      PAGE,
    );
  });

  test('a large leaf is written as a whole, until it is split', () => {
    withNic(movers, (nic, domain) => {
      domain.setDirtyTracking(true);
      nic.dma.write(IOVA + 5 * PAGE, new Uint8Array(1));
      expect(domain.readDirty(IOVA, PAGES * PAGE)).toEqual([{ iova: IOVA, size: 2 * MIB }]);
      expect(domain.readDirty(IOVA + PAGE, 2 * PAGE)).toEqual([{ iova: IOVA + PAGE, size: 2 * PAGE }]);
      domain.split(IOVA, PAGES * PAGE);
      expect(domain.readAndClearDirty(IOVA, PAGES * PAGE)).toEqual([{ iova: IOVA, size: 2 * MIB }]);
      nic.dma.write(IOVA + 5 * PAGE, new Uint8Array(1));
      nic.dma.write(IOVA + 600 * PAGE, new Uint8Array(1));
      expect(domain.readAndClearDirty(IOVA, PAGES * PAGE)).toEqual([
        { iova: IOVA + 5 * PAGE, size: PAGE },
        { iova: IOVA + 600 * PAGE, size: PAGE },
      ]);
    });
  });

  test('leaves of several entries, and memory of a peer', () => {
    withNic(
      movers,
      (nic, domain, pci) => {
        domain.setDirtyTracking(true);
        domain.map(IOVA + 16 * MIB, BAR.B, 64 * 1024, RW);
        pci.grants.exported.add(BAR.B, 64 * 1024);
        nic.dma.write(IOVA + 16 * MIB + 40_000, new Uint8Array(1));
        expect(domain.readAndClearDirty(0, 2 ** 48)).toEqual([{ iova: IOVA + 16 * MIB, size: 64 * 1024 }]);
        domain.unmap(IOVA + 16 * MIB, 64 * 1024);
        pci.faults.clear();
      },
      PAGE + 64 * 1024,
    );
  });
});

test('what is mapped anew is not dirty', () => {
  using machine = testMachine();
  using domain = domainOf(machine);
  domain.setDirtyTracking(true);
  domain.map(IOVA, 0, 2 * PAGE, RW);
  domain.markDirty(IOVA / PAGE, IOVA / PAGE + 2);
  expect(domain.unmap(IOVA, 2 * PAGE)).toBe(2 * PAGE);
  expect(domain.readDirty(IOVA, 2 * PAGE)).toEqual([]);
  domain.markDirty(IOVA / PAGE, IOVA / PAGE + 2);
  domain.map(IOVA, 0, 2 * PAGE, RW);
  expect(domain.readDirty(IOVA, 2 * PAGE)).toEqual([]);
});

test('what is refused', () => {
  using machine = testMachine();
  using domain = domainOf(machine);
  using identity = domainOf(machine, { type: 'identity' });
  expect(() => domain.readAndClearDirty(IOVA, PAGE)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  expect(() => identity.setDirtyTracking(true)).toThrow(expect.objectContaining({ code: 'EOPNOTSUPP' }));
  domain.setDirtyTracking(true);
  expect(() => domain.readDirty(2 ** 48, PAGE)).toThrow(expect.objectContaining({ code: 'ERANGE' }));
});
