import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import { expect, test } from 'vitest';
import { BAR, NODE, testSystem } from './test-system.ts';
import type { TrafficJob } from './traffic.test-worker.ts';

const worker = new URL(import.meta.resolve('#dist/system/traffic.test-worker.js'));

test.each([0, 5, 20, 60])(
  'a thread that is shot %d ms into its traffic leaves damage, never leaks or errors',
  { timeout: 60_000 },
  async (afterMs) => {
    using machine = testMachine();
    const pci = testSystem(machine);
    pci.p2p.init(pci.function(NODE.A0).topology);
    const job: TrafficJob = { engines: [NODE.B], owner: NODE.A0, offset: 0, bytes: BAR.A_BYTES, rounds: 1e6, seed: 1 };
    const engine = startTestWorker<number>(worker, machine, job, 'engine');
    while (pci.memory.ram.usedPages === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    await engine.worker.terminate();
    const task = machine.tasks().find(({ name }) => name === 'engine')!;
    machine.reap(task.id);
    pci.isolate(pci.function(NODE.B));
    const { errors, leaks } = machine.verify();
    expect({ errors, leaks }).toEqual({ errors: [], leaks: [] });
    expect(pci.faults.list()).toEqual([]);
    const c = pci.function(NODE.C);
    const page = pci.memory.allocPages(1);
    const iova = c.iommu.iovaAlloc(4096);
    c.iommu.map(iova, page, 4096, 3);
    c.dma.write(iova, Uint8Array.of(1));
    c.iommu.unmap(iova, 4096);
    c.iommu.iovaFree(iova, 4096);
    pci.memory.freePages(page, 1);
  },
);
