import { atomicCas, atomicLoad, atomicStore, atomicSub, KernelError, type Machine } from '@dmabuf-emu/shm';

/** Words of the area: pages that it has, pages that are in use. */
const TOTAL = 0;
const USED = 1;

/** How much of the area for contiguous buffers is in use. Both heaps of the area share it. */
export interface CmaUsage {
  readonly usedPages: number;
  readonly totalPages: number;
}

/** @kernel /proc/meminfo */
export function cmaUsage(machine: Machine): CmaUsage {
  const at = areaAt(machine);
  return { usedPages: atomicLoad(machine.mem, at + USED), totalPages: atomicLoad(machine.mem, at + TOTAL) };
}

/** Sets how many pages the area has. @kernel cma= */
export function setCmaPages(machine: Machine, pages: number): void {
  atomicStore(machine.mem, areaAt(machine) + TOTAL, pages);
}

/** Takes pages out of the area. @throws KernelError ENOMEM when there are not as many left */
export function chargeCma(machine: Machine, pages: number): void {
  const at = areaAt(machine);
  for (;;) {
    const used = atomicLoad(machine.mem, at + USED);
    const total = atomicLoad(machine.mem, at + TOTAL);
    if (pages > total - used) {
      throw new KernelError('ENOMEM', 'cma_alloc', `${pages} pages, ${total - used} free of ${total} total pages`);
    }
    if (atomicCas(machine.mem, at + USED, used, used + pages) === used) return;
  }
}

export function unchargeCma(machine: Machine, pages: number): void {
  atomicSub(machine.mem, areaAt(machine) + USED, pages);
}

function areaAt(machine: Machine): number {
  return machine.root('heap.cma', 16);
}
