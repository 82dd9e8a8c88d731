import { testMachine } from '@dmabuf-emu/shm/testing';
import { expect, test } from 'vitest';
import { IommuProt } from '../iommu/index.ts';
import {
  testBar,
  testBridge,
  testFunction,
  testHostBridge,
  testMachine as describeMachine,
} from '../topology/test-machine.ts';
import { PciSystem } from './pci-system.ts';

const GIB = 2 ** 30;
const BAR = 0x40_0000_0000;
const BAR_BYTES = 16 * GIB;
const IOVA = 0x7000_0000_0000;
const RW = IommuProt.READ | IommuProt.WRITE;

/** A GPU whose BAR is larger than the whole machine's memory, and a NIC, each below a root port. */
function machineOf() {
  const window = { start: BAR, end: BAR + 2 * BAR_BYTES - 1, busOffset: 0 };
  return describeMachine(
    [
      testBridge('0000:00:01.0', 'root-port', [1, 1]),
      testBridge('0000:00:02.0', 'root-port', [2, 2]),
      testFunction('0000:01:00.0', 'endpoint', { bars: [testBar(BAR, BAR_BYTES)] }),
      testFunction('0000:02:00.0', 'endpoint'),
    ],
    { hostBridges: [testHostBridge(0, { windows: [window] })] },
  );
}

test.each(['wasm', 'js'] as const)(
  'a mapped BAR of 16 GiB takes memory for the pages that are touched (%s)',
  (movers) => {
    using machine = testMachine({ movers, memoryBytes: 4 << 20 });
    const pci = PciSystem.create(machine, { topology: machineOf(), checks: false });
    const nic = pci.function('02:00.0');
    const before = { pages: pci.memory.usage.usedPages, arena: machine.arena.usage().usedBytes };

    for (const [pageSizes, leaf] of [
      [2 ** 12 + 2 ** 21 + 2 ** 30, GIB],
      [2 ** 12 + 2 ** 21, 2 ** 21],
    ] as const) {
      const domain = pci.createDomain({ pgsizeBitmap: pageSizes });
      nic.attachDomain(domain);
      domain.map(IOVA, BAR, BAR_BYTES, RW);
      expect(domain.leafSizeAt(IOVA + BAR_BYTES - 1)).toBe(leaf);

      const places = [0, 5 * GIB + 0x1234, BAR_BYTES - 8];
      for (const [i, at] of places.entries()) expect(nic.dma.write(IOVA + at, new Uint8Array(8).fill(i + 1))).toBe(8);
      for (const [i, at] of places.entries()) {
        expect([...nic.dma.read(IOVA + at, 8)]).toEqual([...new Uint8Array(8).fill(i + 1)]);
        expect([...pci.memory.cpuRead(BAR + at, 8)]).toEqual([...new Uint8Array(8).fill(i + 1)]);
      }
      expect([...nic.dma.read(IOVA + 9 * GIB, 4)]).toEqual([0, 0, 0, 0]);
      // Also what reads as zeros is one page, the same for all.
      expect(pci.memory.usage.usedPages - before.pages).toBe(places.length + 1);

      expect(domain.unmap(IOVA, BAR_BYTES)).toBe(BAR_BYTES);
      expect(nic.dma.tryReadInto(IOVA, new Uint8Array(8))).toBe(0);
      nic.attachDomain(null);
      domain.destroy();
    }
    expect(machine.arena.usage().usedBytes - before.arena).toBeLessThan(1 << 20);
  },
);
