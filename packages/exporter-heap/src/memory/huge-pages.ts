import { LARGE_PAGES } from '@dmabuf-emu/pci-iommu';
import { atomicCas, atomicLoad, atomicStore, atomicSub, KernelError, type Machine } from '@dmabuf-emu/shm';

/** Pages of 4 KiB that make up a huge page. */
export const HUGE_PAGES = LARGE_PAGES;

/** Words of the pool: how many huge pages there may be, how many are in use. */
const LIMIT = 0;
const USED = 1;

/** How many huge pages of 2 MiB files may have in all; none until it is set. @kernel /proc/sys/vm/nr_hugepages */
export function hugePageLimit(machine: Machine): number {
  return atomicLoad(machine.mem, pool(machine) + LIMIT);
}

/** Sets {@link hugePageLimit}. It takes no memory: huge pages are found when they are used. */
export function setHugePageLimit(machine: Machine, count: number): void {
  atomicStore(machine.mem, pool(machine) + LIMIT, Math.max(0, Math.min(Math.trunc(count), 2 ** 31 - 1)));
}

/** Huge pages that files have now. */
export function hugePagesUsed(machine: Machine): number {
  return atomicLoad(machine.mem, pool(machine) + USED);
}

/** Takes one huge page out of the pool. @kernel hugetlb_acct_memory @throws KernelError ENOMEM when it is empty */
export function chargeHugePage(machine: Machine): void {
  const at = pool(machine);
  for (;;) {
    const used = atomicLoad(machine.mem, at + USED);
    const limit = atomicLoad(machine.mem, at + LIMIT);
    if (used >= limit) throw new KernelError('ENOMEM', 'alloc_hugetlb_folio', `all ${limit} huge pages are in use`);
    if (atomicCas(machine.mem, at + USED, used, used + 1) === used) return;
  }
}

/** Gives a huge page back to the pool. */
export function unchargeHugePage(machine: Machine): void {
  atomicSub(machine.mem, pool(machine) + USED, 1);
}

function pool(machine: Machine): number {
  return machine.root('heap.huge-pages', 16);
}
