import type { Machine } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';
import { PciSystem } from '../../system/index.ts';
import { installPageFaultHandler, IommuProt } from '../index.ts';

const BDF = '0000:04:00.0';
const IOVA = 0x40_0000;
const PAGE = 4096;
/** Pages that the engines together ask for. */
const ALL = 48;

/** What a worker does: it serves page requests until all pages are there, or writes to pages that are not. */
export type PriJob =
  | { readonly role: 'server'; readonly ram: number; readonly pages: number }
  | { readonly role: 'engine'; readonly iova: number; readonly pages: number; readonly seed: number };

/** Returns groups served, or pages written. */
function run(machine: Machine, job: PriJob): number {
  const pci = PciSystem.of(machine);
  const b = pci.function(BDF);
  if (job.role === 'engine') {
    for (let page = 0; page < job.pages; page++) b.dma.write(job.iova + page * PAGE, Uint8Array.of(job.seed));
    return job.pages;
  }
  let mapped = 0;
  installPageFaultHandler(machine, {
    name: 'far-odp',
    handle: (_, { iova, pages }) => {
      b.iommu.map(iova, job.ram + iova - IOVA, pages * PAGE, IommuProt.READ | IommuProt.WRITE);
      mapped += pages;
      return 'success';
    },
  });
  const queue = pci.pageRequests(b.topology.hostBridge);
  let groups = 0;
  while (mapped < ALL) groups += queue.serve(20_000);
  return groups;
}

await runTestWorker(run);
