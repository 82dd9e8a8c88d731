import { propertyRuns, propertyTimeoutMs, testMachine } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { IommuProt, IotlbGather } from '../iommu/index.ts';
import { BAR, NODE, testSystem } from '../system/test-system.ts';
import type { PciSystem } from '../system/index.ts';

const PAGES = 24;
const FIRST = 0x10_0000;
const RAM_PAGES = 16;

type Step = [what: number, page: number, count: number, other: number];

/** What can be seen of a system after steps: results, faults, what is cached, bytes. */
function run(machine: ReturnType<typeof testMachine>, steps: readonly Step[]): unknown {
  const pci = testSystem(machine, { iotlb: { sets: 16, ways: 2 } });
  const { iommu, dma } = pci.function(NODE.C);
  const ram = pci.memory.allocPages(RAM_PAGES);
  const seen: unknown[] = [];
  const gathers: IotlbGather[] = [];
  for (const [what, page, count, other] of steps) {
    const iova = FIRST + page * 4096;
    const bytes = count * 1500;
    if (what === 0) tryMap(pci, iova, ram, other);
    else if (what === 1) seen.push(iommu.unmap(iova, count * 4096));
    else if (what === 2) {
      const gather = new IotlbGather();
      seen.push(iommu.unmapFast(iova, 4096, gather));
      gathers.push(gather);
    } else if (what === 3) for (const gather of gathers.splice(0)) iommu.iotlbSync(gather);
    else if (what === 4)
      seen.push(
        dma.tryWrite(
          iova + other,
          Uint8Array.from({ length: bytes }, (_, i) => i + page),
        ),
      );
    else if (what === 5) {
      const into = new Uint8Array(bytes);
      seen.push(dma.tryReadInto(iova + other, into), Buffer.from(into).toString('base64'));
    } else seen.push(dma.tryCopy(iova + other, FIRST + ((page * 7 + other) % PAGES) * 4096 + 60, bytes));
    seen.push(iommu.iotlbStats, dma.fault?.kind, dma.fault?.address, dma.fault?.reason);
  }
  seen.push(pci.faults.list(), iommu.iotlb!.count(), pci.memory.usage.usedPages);
  for (let i = 0; i < RAM_PAGES; i++)
    seen.push(Buffer.from(pci.memory.cpuRead(ram + i * 4096, 4096)).toString('base64'));
  for (let i = 0; i < PAGES; i++) iommu.unmap(FIRST + i * 4096, 4096);
  iommu.flushIotlb();
  pci.memory.freePages(ram, RAM_PAGES);
  return seen;
}

function tryMap(pci: PciSystem, iova: number, ram: number, other: number): void {
  const { iommu } = pci.function(NODE.C);
  if (iommu.iovaToPhys(iova) !== 0) return;
  // One page behind the allocated ones belongs to nobody; some are of a BAR; not all permissions.
  const paddr = other % 5 === 0 ? BAR.A + (other % 8) * 4096 : ram + (other % (RAM_PAGES + 1)) * 4096;
  iommu.map(iova, paddr, 4096, 1 + (other % 7 === 0 ? other % 2 : 2));
}

test('accesses do the same with and without WebAssembly', { timeout: propertyTimeoutMs(120_000) }, () => {
  const step = fc.tuple(fc.nat(6), fc.nat(PAGES - 1), fc.integer({ min: 1, max: 12 }), fc.nat(4000));
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 80 }), (steps) => {
      using wasm = testMachine({ movers: 'wasm' });
      using js = testMachine({ movers: 'js' });
      expect(run(wasm, steps)).toEqual(run(js, steps));
    }),
    { numRuns: propertyRuns(60) },
  );
});

/** What can be seen of accesses to three blocks of 2 MiB that are mapped as one page, in small ones, stale or not at all. */
function runLarge(machine: ReturnType<typeof testMachine>, steps: readonly Step[]): unknown {
  const pci = testSystem(machine, { iotlb: { sets: 16, ways: 2 } });
  const { iommu, dma } = pci.function(NODE.C);
  const ram = pci.memory.allocPages(512, 512);
  const seen: unknown[] = [];
  let gather = new IotlbGather();
  for (const [what, page, count, other] of steps) {
    const block = FIRST * 16 + (page % 3) * 2 ** 21;
    const at = block + (other % 509) * 4096 + (other % 4096);
    if (what === 0 || what === 1) {
      if (iommu.iovaToPhys(block) === 0) iommu.map(block, ram, 2 ** 21, 1 + (other % 3));
    } else if (what === 2) {
      if (iommu.iovaToPhys(block) === 0) iommu.map(block, ram + 4096, 4096 * 500, 3);
    } else if (what === 3) seen.push(iommu.unmapFast(block, 2 ** 21, gather));
    else if (what === 4) {
      iommu.iotlbSync(gather);
      gather = new IotlbGather();
    } else if (what === 5)
      seen.push(
        dma.tryWrite(
          at,
          Uint8Array.from({ length: count * 1500 }, (_, i) => i + page),
        ),
      );
    else seen.push(dma.tryReadInto(at, new Uint8Array(count * 3000)));
    const { iotlb, iotlbStats } = iommu;
    seen.push(iotlbStats, iotlb!.count(), iotlb!.largeCount(), dma.fault?.address, dma.fault?.reason);
  }
  seen.push(pci.faults.list(), Buffer.from(pci.memory.cpuRead(ram, 2 ** 21)).toString('base64'));
  for (let i = 0; i < 3; i++) iommu.unmap(FIRST * 16 + i * 2 ** 21, 2 ** 21);
  iommu.flushIotlb();
  pci.memory.freePages(ram, 512);
  return seen;
}

test('and with large pages', { timeout: propertyTimeoutMs(120_000) }, () => {
  const step = fc.tuple(fc.nat(8), fc.nat(2), fc.integer({ min: 1, max: 9 }), fc.nat(4000));
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 60 }), (steps) => {
      using wasm = testMachine({ movers: 'wasm' });
      using js = testMachine({ movers: 'js' });
      expect(runLarge(wasm, steps)).toEqual(runLarge(js, steps));
    }),
    { numRuns: propertyRuns(25) },
  );
});

test('pages across tables, at the top of the address space and in large leaves', () => {
  for (const movers of ['wasm', 'js'] as const) {
    using machine = testMachine({ movers, memoryBytes: 16 << 20 });
    const pci = testSystem(machine);
    const { iommu, dma } = pci.function(NODE.B);
    const pages = 1024;
    const ram = pci.memory.allocPages(pages, 512);
    const bytes = Uint8Array.from({ length: 3 << 20 }, (_, i) => (i * 13) ^ (i >>> 9));
    for (const iova of [2 ** 48 - pages * 4096, 2 ** 44 - 512 * 4096, 0x4000_0000]) {
      iommu.map(iova, ram, pages * 4096, IommuProt.READ | IommuProt.WRITE);
      const start = iova + pages * 4096 - bytes.length;
      expect(dma.write(start, bytes)).toBe(bytes.length);
      expect(Buffer.compare(dma.read(start, bytes.length), bytes)).toBe(0);
      expect(dma.tryReadInto(start + 8192, new Uint8Array(bytes.length))).toBe(bytes.length - 8192);
      expect(dma.fault?.reason).toBe('not mapped');
      expect(iommu.unmap(iova, pages * 4096)).toBe(pages * 4096);
    }
    pci.memory.freePages(ram, pages);
  }
});
