import { type IommuDomain, IommuProt, PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { type Machine, orUndo } from '@dmabuf-emu/shm';
import { pinnedRuns, pinUser, unpinUser } from '../user-memory/user-pins.ts';
import type { AreaPages } from './area-pages.ts';
import { AreaStruct as A, UserPagesStruct as U } from './iommufd-structs.ts';

/** Program memory as the memory behind an area, pinned while the area lives. @kernel iopt_pages, IOPT_ADDRESS_USER */
export class UserPages implements AreaPages {
  readonly machine: Machine;
  readonly ref: number;
  readonly #p: number;

  constructor(machine: Machine, ref: number) {
    this.machine = machine;
    this.ref = ref;
    this.#p = machine.slab(U).at(ref);
  }

  /**
   * Pins a range of the calling task's memory.
   * @param largePages - whether leaves may be larger than a page of the CPU
   * @kernel iopt_alloc_user_pages
   * @throws KernelError EFAULT, also for memory of devices; ENOMEM
   */
  static pin(machine: Machine, vaddr: number, bytes: number, largePages: boolean): UserPages {
    const { mem } = machine;
    const slab = machine.slab(U);
    const ref = slab.alloc('iopt_user_pages');
    return orUndo(
      () => {
        const pins = pinUser(machine, vaddr, bytes, false);
        const p = slab.at(ref);
        U.task.set(mem, p, machine.tid);
        U.pins.set(mem, p, pins);
        U.largePages.set(mem, p, largePages ? 1 : 0);
        return new UserPages(machine, ref);
      },
      () => slab.free(ref, 'iopt_user_pages'),
    );
  }

  /** Maps an area in a domain. @kernel iopt_area_fill_domain @throws what iommu_map throws; nothing is left then */
  fill(area: number, domain: IommuDomain): void {
    const { mem } = this.machine;
    const a = this.machine.slab(A).at(area);
    const iova = A.iova.get(mem, a);
    const prot = (A.prot.get(mem, a) & ~IommuProt.MMIO) | IommuProt.CACHE;
    let done = 0;
    orUndo(
      () => {
        for (const { paddr, bytes } of this.#pieces()) {
          domain.map(iova + done, paddr, bytes, prot);
          done += bytes;
        }
      },
      () => {
        if (done > 0) domain.unmap(iova, done);
      },
    );
  }

  /** @kernel iopt_area_unfill_domain */
  unfill(area: number, domain: IommuDomain): void {
    const { mem } = this.machine;
    const a = this.machine.slab(A).at(area);
    const length = A.length.get(mem, a);
    const unmapped = domain.unmap(A.iova.get(mem, a), length);
    if (unmapped !== length) {
      this.machine.diag.warn('iopt_area_unmap_domain_range', `${unmapped} of ${length} bytes were mapped`);
    }
  }

  put(): void {
    const { machine } = this;
    const pins = U.pins.get(machine.mem, this.#p);
    machine.slab(U).free(this.ref, 'iopt_user_pages');
    unpinUser(machine, pins);
  }

  *#pieces(): Generator<{ paddr: number; bytes: number }> {
    const { mem } = this.machine;
    const large = U.largePages.get(mem, this.#p) !== 0;
    for (const run of pinnedRuns(this.machine, U.pins.get(mem, this.#p))) {
      if (large) yield run;
      else for (let at = 0; at < run.bytes; at += PAGE_SIZE) yield { paddr: run.paddr + at, bytes: PAGE_SIZE };
    }
  }
}
