import { type Machine, Random } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';
import { IommuProt } from './index.ts';
import { PciSystem } from '../system/index.ts';

/** What one worker does in the domain of a function. */
export interface DomainJob {
  readonly bdf: string;
  /** Physical addresses that this worker maps: nobody else does. */
  readonly paddr: number;
  readonly bytes: number;
  readonly rounds: number;
  readonly seed: number;
}

/**
 * Allocates IOVAs, maps them, has them translated and unmaps them, while others do the same in the same domain. Every
 * translation must be this worker's own or, once unmapped, gone.
 */
function churn(machine: Machine, job: DomainJob): { pages: number } {
  const domain = PciSystem.of(machine).function(job.bdf).iommu;
  const random = new Random(job.seed);
  const { memoryMap } = domain;
  const live: { iova: number; paddr: number; pages: number }[] = [];
  let total = 0;
  const expectAll = (range: { iova: number; paddr: number; pages: number }, mapped: boolean): void => {
    for (let i = 0; i < range.pages; i++) {
      const entry = domain.translate(range.iova / 4096 + i, true);
      const wanted = mapped ? range.paddr + i * 4096 : 0;
      const got = entry === 0 ? 0 : memoryMap.paddrOf(entry >>> 2);
      if (got !== wanted)
        throw new Error(
          `page ${i} of 0x${range.iova.toString(16)}: 0x${got.toString(16)}, expected 0x${wanted.toString(16)}`,
        );
    }
  };
  const unmap = (range: { iova: number; paddr: number; pages: number }): void => {
    expectAll(range, true);
    const bytes = domain.unmap(range.iova, range.pages * 4096);
    if (bytes !== range.pages * 4096) throw new Error(`unmapped ${bytes} of ${range.pages} pages`);
    expectAll(range, false);
    domain.iovaFree(range.iova, range.pages * 4096);
  };
  for (let round = 0; round < job.rounds; round++) {
    const isLarge = random.chance(0.02);
    const pages = isLarge ? 1024 : 1 + random.below(random.chance(0.1) ? 700 : 40);
    const place = random.below(job.bytes / 4096 - pages);
    const paddr = job.paddr + (isLarge ? place - (place % 512) : place) * 4096;
    const iova = domain.iovaAlloc(pages * 4096, 2 ** 32 - 1);
    if (iova === 0) throw new Error('no IOVA is free');
    domain.map(iova, paddr, pages * 4096, IommuProt.READ | IommuProt.WRITE);
    live.push({ iova, paddr, pages });
    if (isLarge && random.chance(0.5)) domain.split(iova + 4096 * random.below(pages), 4096);
    total += pages;
    if (live.length > 8) unmap(live.splice(random.below(live.length), 1)[0]!);
  }
  for (const range of live) unmap(range);
  return { pages: total };
}

await runTestWorker(churn);
