import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import { expect, test } from 'vitest';
import { BAR, NODE, testSystem } from './test-system.ts';
import type { TrafficJob } from './traffic.test-worker.ts';

const worker = new URL(import.meta.resolve('#dist/system/traffic.test-worker.js'));

test.each([true, false])(
  'threads share functions, domains and memory without faults (IOMMU %s)',
  { timeout: 60_000 },
  async (iommu) => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu, iotlb: { sets: 16, ways: 2 } });
    pci.p2p.init(pci.function(NODE.A0).topology);
    const threads = [1, 2].map((seed) => {
      const job: TrafficJob = {
        engines: [NODE.B, NODE.C],
        owner: NODE.A0,
        offset: (seed - 1) * (BAR.A_BYTES / 2),
        bytes: BAR.A_BYTES / 2,
        rounds: 600,
        seed,
      };
      return startTestWorker<number>(worker, machine, job, `engine-${seed}`);
    });
    const moved = await Promise.all(threads.map(({ result }) => result));
    expect(moved.every((bytes) => bytes > 600 * 8192)).toBe(true);
    expect(pci.faults.list()).toEqual([]);
    pci.p2p.release(pci.function(NODE.A0).topology);
  },
);
