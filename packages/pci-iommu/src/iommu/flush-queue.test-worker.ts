import { DmaDirection } from '@dmabuf-emu/core';
import { type Machine, Random } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';
import { PciSystem } from '../system/index.ts';
import { dmaMapPhys, dmaUnmapPhys } from './index.ts';

/** What one worker does in the lazy domain of a function. */
export interface FlushJob {
  readonly bdf: string;
  readonly rounds: number;
  readonly seed: number;
}

/** Maps pages of its own, writes through the mapping, looks where the bytes went, unmaps. Returns the flushes of the domain. */
function churn(machine: Machine, job: FlushJob): number {
  const pci = PciSystem.of(machine);
  const nic = pci.function(job.bdf);
  const random = new Random(job.seed);
  const ram = pci.memory.allocPages(8);
  for (let round = 0; round < job.rounds; round++) {
    const pages = 1 + random.below(4);
    const paddr = ram + random.below(9 - pages) * 4096;
    const iova = dmaMapPhys(nic, paddr, pages * 4096, DmaDirection.BIDIRECTIONAL, {});
    const at = random.below(pages) * 4096;
    const bytes = Uint8Array.of(job.seed, round & 0xff, round >>> 8);
    nic.dma.write(iova + at, bytes);
    const got = pci.memory.cpuRead(paddr + at, 3);
    if (Buffer.compare(got, bytes) !== 0)
      throw new Error(`round ${round}: wrote ${bytes.join()}, memory has ${got.join()}`);
    dmaUnmapPhys(nic, iova, pages * 4096);
  }
  pci.memory.freePages(ram, 8);
  return nic.iommu.flushQueue!.flushes;
}

await runTestWorker(churn);
