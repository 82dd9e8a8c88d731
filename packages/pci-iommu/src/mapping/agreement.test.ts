import { propertyRuns, propertyTimeoutMs, testMachine } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { P2pMapType } from '../p2pdma/index.ts';
import { PciSystem } from '../system/index.ts';
import { randomMachine } from '../topology/test-random-machine.ts';
import { exportRanges } from './test-exporter.ts';

const PAGE = 4096;

/** Counts of what the machines of this test showed, so that it cannot pass by testing nothing. */
const seen: Record<string, number> = {};

function note(what: string): void {
  seen[what] = (seen[what] ?? 0) + 1;
}

test(
  'on random machines, whatever can be mapped is reached with the mapped address, and nothing else is',
  { timeout: propertyTimeoutMs(120_000) },
  () => {
    fc.assert(
      fc.property(randomMachine, fc.boolean(), fc.nat(1000), (topology, iommu, pick) => {
        using machine = testMachine({ arenaBytes: 16 << 20, memoryBytes: 4 << 20 });
        const pci = PciSystem.create(machine, { topology, iommu });
        const providers = pci.functions.filter((fn) => fn.bars.some((bar) => bar.isMemory && bar.size >= 2 * PAGE));
        const clients = pci.functions.filter((fn) => fn.kind !== 'host-bridge' && !fn.topology.isBridge);
        const owner = providers[pick % Math.max(1, providers.length)];
        if (owner === undefined) return;
        const bar = owner.bars.find(({ isMemory, size }) => isMemory && size >= 2 * PAGE)!;
        const buffer = exportRanges(pci, owner, bar.index, [
          { paddr: bar.start + bar.size - PAGE, len: PAGE },
          { paddr: bar.start, len: PAGE },
        ]);
        for (const [i, client] of clients.slice(0, 6).entries()) {
          const mapType = pci.p2p.mapType(owner.topology, client.topology);
          if (mapType === P2pMapType.NOT_SUPPORTED) {
            note('refused');
            expect(() => buffer.mapped(client, () => undefined)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
            continue;
          }
          note(mapType === P2pMapType.BUS_ADDR ? 'bus' : iommu ? 'translated' : 'direct');
          const before = client.iommu.iotlbStats;
          const last = buffer.mapped(client, (sgt) => {
            let offset = 0;
            for (const { address, length } of sgt.entries()) {
              client.dma.writePattern(address, length, { owner: client.index, epoch: i, offset });
              offset += length;
            }
            return sgt.address(0);
          });
          expect(
            pci.patternAt(bar.start + bar.size - PAGE, PAGE, { owner: client.index, epoch: i, offset: 0 }),
          ).toBeNull();
          expect(pci.patternAt(bar.start, PAGE, { owner: client.index, epoch: i, offset: PAGE })).toBeNull();
          expect(pci.faults.list()).toEqual([]);
          if (mapType === P2pMapType.BUS_ADDR) expect(client.iommu.iotlbStats).toEqual(before);
          client.dma.tryWrite(last, Uint8Array.of(1));
          const translated = mapType === P2pMapType.THRU_HOST_BRIDGE && iommu;
          const expected = client === owner ? [] : [translated ? 'iommu-fault' : 'use-after-revoke'];
          expect(pci.faults.list().map(({ kind }) => kind)).toEqual(
            client === owner && translated ? ['iommu-fault'] : expected,
          );
          pci.faults.clear();
        }
        buffer.release();
      }),
      { numRuns: propertyRuns(200) },
    );
    expect(['refused', 'bus', 'translated', 'direct'].filter((what) => !(seen[what]! > 20))).toEqual([]);
  },
);
