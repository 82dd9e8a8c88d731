import type { Device } from '@dmabuf-emu/core';
import { IommuDomain, IommuProt, PAGE_SIZE, type PciSystem, type ReservedRange } from '@dmabuf-emu/pci-iommu';
import { KernelError, type Machine, orUndo, type RwSemaphore, rwsemOf } from '@dmabuf-emu/shm';
import { RefList } from '../internal/ref-list.ts';
import { unlessLost } from '../internal/unless-lost.ts';
import type { AreaPages } from './area-pages.ts';
import { AreaStruct as A, HwptStruct as D, IoasStruct as I } from './iommufd-structs.ts';
import { IoptPages } from './iopt-pages.ts';
import { checkIova, chooseIova, type IovaLayout } from './iova-choice.ts';
import { checkMapFile, IoasMap, type MapFileRequest } from './map-file-request.ts';
import { checkMapUser, type CheckedUserRequest, type MapUserRequest } from './map-user-request.ts';
import { UserPages } from './user-pages.ts';

/** How an address space is made. */
export interface IoasOptions {
  readonly pci: PciSystem;
  /** What buffers are attached to: not a PCI device. */
  readonly device: Device;
  /** Addresses that no area may have. */
  readonly reserved?: readonly ReservedRange[];
  /** A DMA-API domain whose allocator chooses the addresses; the address space does when left out. */
  readonly allocator?: IommuDomain;
  /** Program memory is mapped with pages of the CPU only. @kernel iopt_disable_large_pages */
  readonly smallPages?: boolean;
  /** Gate of the engine that uses the areas, 0 for none. */
  readonly hw?: number;
}

/** An area as its owner sees it. */
export interface IoasArea<P extends AreaPages = IoptPages> {
  readonly ref: number;
  readonly iova: number;
  readonly length: number;
  readonly pages: P;
}

/**
 * An application's I/O address space: parts of buffers at addresses, seen alike by all domains in it. A buffer comes in by
 * its physical range, told by a private interface of its exporter, not by a DMA mapping. When it is taken back it leaves a
 * hole, which stays until the application unmaps it and maps the file anew.
 * @kernel iommufd_ioas, io_pagetable
 */
export class Ioas {
  readonly machine: Machine;
  readonly ref: number;
  readonly #options: IoasOptions;
  readonly #p: number;
  readonly #domainsLock: RwSemaphore;
  readonly #iovas: RwSemaphore;
  readonly #areas: RefList;
  readonly #hwpts: RefList;

  private constructor(options: IoasOptions, ref: number) {
    const { machine } = options.pci;
    this.machine = machine;
    this.ref = ref;
    this.#options = options;
    this.#p = machine.slab(I).at(ref);
    this.#domainsLock = rwsemOf(machine, this.#p, I.domainsLock);
    this.#iovas = rwsemOf(machine, this.#p, I.iovas);
    this.#areas = new RefList(machine, A, A.next, this.#p + I.areas.at);
    this.#hwpts = new RefList(machine, D, D.next, this.#p + I.domains.at);
  }

  /** @kernel iommufd_ioas_alloc_ioctl @throws KernelError ENOMEM */
  static alloc(options: IoasOptions): Ioas {
    const { machine } = options.pci;
    const slab = machine.slab(I);
    const ref = slab.alloc('iommufd_ioas');
    I.task.set(machine.mem, slab.at(ref), machine.tid);
    return new Ioas(options, ref);
  }

  /** Areas of buffers, by address. */
  areas(): IoasArea[] {
    return this.#iovas.read(() => this.#list().filter((area): area is IoasArea => area.pages instanceof IoptPages));
  }

  /** Whether nothing is mapped, neither buffers nor program memory. */
  get isEmpty(): boolean {
    return this.#areas.isEmpty;
  }

  /**
   * Adds a domain and maps every area in it. @kernel iopt_table_add_domain
   * @throws KernelError EINVAL for a domain without page table; EADDRINUSE when an area does not line up with its pages; ENOMEM
   */
  addDomain(domain: IommuDomain): void {
    if (!domain.isPaging)
      throw new KernelError('EINVAL', 'iopt_table_add_domain', `a domain of type ${domain.type} maps nothing`);
    const { machine } = this;
    const { mem } = machine;
    const slab = machine.slab(D);
    const ref = slab.alloc('iommufd_hwpt');
    const p = slab.at(ref);
    D.task.set(mem, p, machine.tid);
    D.domain.set(mem, p, domain.ref);
    D.ioas.set(mem, p, this.ref);
    orUndo(
      () =>
        this.#changing('write', () => {
          this.#fillAll(this.#list(), domain);
          this.#hwpts.push(ref);
        }),
      () => slab.free(ref, 'iommufd_hwpt'),
    );
  }

  /** Unmaps every area from a domain and lets go of it. @kernel iopt_table_remove_domain */
  removeDomain(domain: IommuDomain): void {
    const slab = this.machine.slab(D);
    this.#changing('write', () => {
      for (const hwpt of this.#hwpts.members()) {
        if (D.domain.get(this.machine.mem, slab.at(hwpt)) !== domain.ref) continue;
        for (const { pages, ref } of this.#list()) pages.unfill(ref, domain);
        this.#hwpts.remove(hwpt);
        slab.free(hwpt, 'iommufd_hwpt');
      }
    });
  }

  /**
   * Maps part of a buffer and returns where. @kernel iommufd_ioas_map_file, iopt_map_file_pages
   * @throws KernelError ENODEV while the exporter has revoked the buffer; EOPNOTSUPP, EINVAL, EBADF, EOVERFLOW, ENOSPC, EEXIST,
   *   ENOMEM; whatever attach, pin and iommu_map throw. Nothing is left then
   */
  mapFile(request: MapFileRequest): number {
    const checked = checkMapFile(this.machine, request);
    const { dmabuf, start } = checked;
    const pages = orUndo(
      () => IoptPages.map(dmabuf, this.#options.device, start, this.#options.hw),
      () => dmabuf.put(),
    );
    dmabuf.put();
    return orUndo(
      () => this.#changing('read', () => this.#addArea(pages, checked)),
      () => pages.put(),
    );
  }

  /**
   * Pins and maps memory of the calling task's program and returns where. @kernel iommufd_ioas_map, iopt_map_user_pages
   * @throws KernelError EFAULT where nothing, or memory of a device, is mapped; EOPNOTSUPP, EINVAL, EOVERFLOW, ENOSPC, EEXIST,
   *   ENOMEM; whatever iommu_map throws. Nothing is left then
   */
  mapUser(request: MapUserRequest): number {
    const checked = checkMapUser(request);
    const pages = UserPages.pin(this.machine, checked.start, checked.length, this.#options.smallPages !== true);
    return orUndo(
      () => this.#changing('read', () => this.#addArea(pages, checked)),
      () => pages.put(),
    );
  }

  /** Unmaps all there is; returns its bytes, 0 when there is nothing. @kernel iopt_unmap_all */
  unmapAll(): number {
    return this.#removeAreas((areas) => areas);
  }

  /**
   * Unmaps the areas inside a range; returns their bytes. @kernel iommufd_ioas_unmap
   * @throws KernelError ENOENT when there is none, or one is not wholly inside; EINVAL for length 0
   */
  unmap(iova: number, length: number): number {
    if (length <= 0) throw new KernelError('EINVAL', 'IOMMU_IOAS_UNMAP', 'length 0');
    const end = iova + length;
    return this.#removeAreas((areas) => {
      const inside = areas.filter((area) => area.iova < end && area.iova + area.length > iova);
      const cut = inside.find((area) => area.iova < iova || area.iova + area.length > end);
      if (inside.length > 0 && cut === undefined) return inside;
      const what =
        cut === undefined
          ? 'no area is there'
          : `the area at 0x${cut.iova.toString(16)}+${cut.length} is not wholly inside`;
      throw new KernelError('ENOENT', 'IOMMU_IOAS_UNMAP', `0x${iova.toString(16)}+${length}: ${what}`);
    });
  }

  /** Unmaps everything and frees the address space. @kernel iommufd_ioas_destroy */
  destroy(): void {
    const { machine } = this;
    this.unmapAll();
    for (const hwpt of this.#hwpts.members()) machine.slab(D).free(hwpt, 'iommufd_hwpt');
    machine.slab(I).free(this.ref, 'iommufd_ioas');
  }

  /** Runs `fn` with the areas its own, and with the domains its own or at least staying as they are. */
  #changing<T>(domains: 'read' | 'write', fn: () => T): T {
    return this.#domainsLock[domains](() => this.#iovas.write(fn));
  }

  /** Areas, by address. @locks iopt.iova_rwsem */
  #list(): IoasArea<AreaPages>[] {
    const { machine } = this;
    const { mem } = machine;
    const slab = machine.slab(A);
    const areas = [...this.#areas.members()].map((ref) => {
      const p = slab.at(ref);
      return {
        ref,
        iova: A.iova.get(mem, p),
        length: A.length.get(mem, p),
        pages: pagesOf(machine, p),
      };
    });
    return areas.toSorted((a, b) => a.iova - b.iova);
  }

  #addArea(pages: AreaPages, { flags, start, length, iova: wanted }: CheckedUserRequest): number {
    const { machine } = this;
    const { mem } = machine;
    const { alignment } = this.#layout();
    if (length % alignment !== 0)
      throw new KernelError('EINVAL', 'iopt_alloc_area_pages', `length ${length} is no multiple of ${alignment}`);
    if ((start % PAGE_SIZE) % alignment !== 0)
      throw new KernelError('EINVAL', 'iopt_insert_area', `start ${start} is no multiple of ${alignment}`);
    const slab = machine.slab(A);
    const ref = slab.alloc('iopt_area');
    return orUndo(
      () => {
        const iova = this.#place(flags, wanted, start, length);
        const p = slab.at(ref);
        A.task.set(mem, p, machine.tid);
        A.ioas.set(mem, p, this.ref);
        A.iova.set(mem, p, iova);
        A.length.set(mem, p, length);
        A.pages.set(mem, p, pages.ref);
        A.user.set(mem, p, pages instanceof UserPages ? 1 : 0);
        A.prot.set(mem, p, protOf(flags));
        A.allocator.set(mem, p, this.#options.allocator?.ref ?? 0);
        orUndo(
          () => this.#fillArea(ref, pages),
          () => this.#options.allocator?.iovaFree(iova, length),
        );
        this.#areas.push(ref);
        return iova;
      },
      () => slab.free(ref, 'iopt_area'),
    );
  }

  #place(flags: number, wanted: number, start: number, length: number): number {
    const layout = this.#layout();
    const { allocator } = this.#options;
    if ((flags & IoasMap.FIXED_IOVA) !== 0 && allocator === undefined) {
      checkIova(layout, wanted, length);
      return wanted;
    }
    if (allocator === undefined) return chooseIova(layout, start, length);
    const iova = (flags & IoasMap.FIXED_IOVA) !== 0 ? 0 : allocator.iovaAlloc(length);
    if (iova === 0)
      throw new KernelError('ENOSPC', 'iopt_alloc_iova', `the domain's allocator has no ${length} bytes at that place`);
    return iova;
  }

  #layout(): IovaLayout {
    return {
      taken: this.#list(),
      reserved: this.#options.reserved ?? [],
      alignment: this.#hwpts.isEmpty ? 1 : PAGE_SIZE,
    };
  }

  /** Maps a new area in every domain. */
  #fillArea(area: number, pages: AreaPages): void {
    const done: IommuDomain[] = [];
    orUndo(
      () => {
        for (const domain of this.#eachDomain()) {
          pages.fill(area, domain);
          done.push(domain);
        }
      },
      () => {
        for (const domain of done) pages.unfill(area, domain);
      },
    );
  }

  /** Maps every area in a new domain. */
  #fillAll(areas: readonly IoasArea<AreaPages>[], domain: IommuDomain): void {
    if (areas.some(({ iova, length }) => iova % PAGE_SIZE !== 0 || length % PAGE_SIZE !== 0)) {
      throw new KernelError(
        'EADDRINUSE',
        'iopt_table_add_domain',
        `an area does not line up with pages of ${PAGE_SIZE} bytes`,
      );
    }
    const done: IoasArea<AreaPages>[] = [];
    orUndo(
      () => {
        for (const area of areas) {
          area.pages.fill(area.ref, domain);
          done.push(area);
        }
      },
      () => {
        for (const { pages, ref } of done) pages.unfill(ref, domain);
      },
    );
  }

  /** Takes out the areas that `choose` picks; returns their bytes. */
  #removeAreas(choose: (areas: readonly IoasArea<AreaPages>[]) => readonly IoasArea<AreaPages>[]): number {
    const { machine } = this;
    const gone = this.#changing('read', () => {
      const chosen = choose(this.#list());
      for (const { ref, pages, iova, length } of chosen) {
        for (const domain of this.#eachDomain()) pages.unfill(ref, domain);
        A.allocator.store(machine.mem, machine.slab(A).at(ref), 0);
        unlessLost(() => this.#options.allocator?.iovaFree(iova, length));
        this.#areas.remove(ref);
        machine.slab(A).free(ref, 'iopt_area');
      }
      return chosen;
    });
    for (const { pages } of gone) pages.put();
    return gone.reduce((sum, { length }) => sum + length, 0);
  }

  *#eachDomain(): Generator<IommuDomain> {
    const { machine } = this;
    const { mem } = machine;
    const { map } = this.#options.pci.memory;
    for (const hwpt of this.#hwpts.members())
      yield new IommuDomain(machine, map, D.domain.get(mem, machine.slab(D).at(hwpt)));
  }
}

function pagesOf(machine: Machine, area: number): AreaPages {
  const { mem } = machine;
  const ref = A.pages.get(mem, area);
  return A.user.get(mem, area) === 0 ? new IoptPages(machine, ref) : new UserPages(machine, ref);
}

function protOf(flags: number): number {
  const read = (flags & IoasMap.READABLE) === 0 ? 0 : IommuProt.READ;
  const write = (flags & IoasMap.WRITEABLE) === 0 ? 0 : IommuProt.WRITE;
  return read | write | IommuProt.MMIO;
}
