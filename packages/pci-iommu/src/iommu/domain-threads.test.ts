import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import { expect, test } from 'vitest';
import { PciSystem } from '../system/index.ts';
import { BAR, NODE, smallTopology } from '../system/test-system.ts';
import type { DomainJob } from './domain.test-worker.ts';

const worker = new URL(import.meta.resolve('#dist/iommu/domain.test-worker.js'));

test('threads map, translate and unmap in one domain without seeing each other', { timeout: 60_000 }, async () => {
  using machine = testMachine();
  const pci = PciSystem.create(machine, { topology: smallTopology(), iotlb: { sets: 16, ways: 4 } });
  const threads = [1, 2].map((seed) => {
    const job: DomainJob = { bdf: NODE.B, paddr: BAR.A + (seed - 1) * 2 ** 27, bytes: 2 ** 27, rounds: 3000, seed };
    return startTestWorker<{ pages: number }>(worker, machine, job, `iommu-${seed}`);
  });
  const results = await Promise.all(threads.map(({ result }) => result));
  expect(results.every(({ pages }) => pages > 3000)).toBe(true);
  const { iommu } = pci.function(NODE.B);
  expect(iommu.mappedPages).toBe(0);
  expect(iommu.iotlb!.count()).toBe(0);
  iommu.iova!.drain();
  expect(iommu.iova!.ranges()).toEqual([
    [0x8_0000, 0xc_0000],
    [0xf_ee00, 0xf_ef00],
    [0x100_0000, 0x200_0000],
    [0xfd0_0000, 0x1000_0000],
  ]);
});
