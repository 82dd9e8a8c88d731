import { KernelError, type Machine, type Mutex, mutexOf, syncPoint, TaskKilled } from '@dmabuf-emu/shm';
import type { MemoryMap } from '../memory/memory-map.ts';
import { PAGE_SIZE, pageNumber } from '../memory/page.ts';
import { DomainStruct } from './domain-struct.ts';
import type { Iotlb } from './iotlb.ts';
import { IotlbGather } from './iotlb-gather.ts';
import type { PageTable } from './page-table.ts';
import { PROT_MASK } from './prot.ts';
import { IOMMU_QUIRKS } from './quirks.ts';
import { highBits, highPage, lowBits, lowPage } from './table-entry.ts';

/** Changes the page table of a domain, under the domain's lock, for callers that have checked their arguments. */
export class DomainMapper {
  readonly #machine: Machine;
  readonly #map: MemoryMap;
  readonly #table: PageTable;
  readonly #iotlb: Iotlb | null;
  readonly #lock: Mutex;
  readonly #p: number;

  /** @param p - word of the domain's slot */
  constructor(machine: Machine, map: MemoryMap, p: number, table: PageTable, iotlb: Iotlb | null) {
    this.#machine = machine;
    this.#map = map;
    this.#table = table;
    this.#iotlb = iotlb;
    this.#lock = mutexOf(machine, p, DomainStruct.lock);
    this.#p = p;
  }

  /** @throws KernelError ERANGE where no memory is; what `PageTable.install` throws. Nothing stays mapped then */
  map(iova: number, paddr: number, size: number, prot: number): void {
    const region = this.#map.regionAt(paddr);
    this.#lock.lock();
    if (region !== null && paddr + size <= region.end) {
      const frame = region.frame + (((paddr - region.start) / PAGE_SIZE) | 0);
      const done = this.#table.installFew(lowPage(iova), highPage(iova), frame, size / PAGE_SIZE, prot & PROT_MASK);
      if (!done) this.#mapAny(iova, paddr, size, prot);
    } else this.#mapAny(iova, paddr, size, prot);
    this.#publish();
    this.#lock.unlock();
  }

  /** Removes translations and invalidates. Returns bytes. */
  unmap(iova: number, size: number): number {
    this.#lock.lock();
    const few = this.#table.removeFew(lowPage(iova), highPage(iova), size / PAGE_SIZE);
    if (few < 0) return this.#unmapAny(iova, size);
    this.#publish();
    this.#lock.unlock();
    syncPoint('iommu.iotlb-sync', this.#p);
    const page = pageNumber(iova);
    if (few > 0) this.#iotlb!.invalidate(page, page + few);
    return few * PAGE_SIZE;
  }

  /** Removes translations, to be invalidated later. Returns bytes. */
  unmapFast(iova: number, size: number, gather: IotlbGather): number {
    this.#lock.lock();
    const pages = this.#remove(pageNumber(iova), size / PAGE_SIZE, gather);
    this.#publish();
    this.#lock.unlock();
    return pages * PAGE_SIZE;
  }

  /** Invalidates what was gathered. */
  sync(gather: IotlbGather): void {
    syncPoint('iommu.iotlb-sync', this.#p);
    if (gather.end > gather.first) this.#iotlb?.invalidate(gather.first, gather.end);
    gather.clear();
  }

  /** Splits leaves of pages [page, end); see `splitLeaves`. @throws KernelError ENOMEM */
  split(page: number, end: number, order: number): number {
    return this.#lock.with(() => this.#table.split(page, end, order));
  }

  /** Begins or ends noting what devices write. */
  track(on: boolean): void {
    this.#lock.with(() => (this.#table.dirty.isOn = on));
  }

  /** Calls `found` for what was written in pages [page, end); what is cleaned is invalidated as well. */
  scanDirty(page: number, end: number, clean: boolean, found: (first: number, end: number) => void): void {
    const gather = new IotlbGather();
    this.#lock.with(() =>
      this.#table.dirty.scan(page, end, clean, (first, last) => {
        found(first, last);
        if (clean) gather.add(first, last);
      }),
    );
    this.sync(gather);
  }

  /** Maps whatever there is to map. The lock is held; it is given up when this fails. */
  #mapAny(iova: number, paddr: number, size: number, prot: number): void {
    const first = pageNumber(iova);
    const pages = size / PAGE_SIZE;
    let done = 0;
    try {
      while (done < pages)
        done += this.#mapRegion(first + done, paddr + done * PAGE_SIZE, pages - done, prot & PROT_MASK);
    } catch (error) {
      if (!(error instanceof TaskKilled)) {
        this.#remove(first, done, new IotlbGather());
        this.#iotlb?.invalidate(first, first + pages);
        this.#publish();
        this.#lock.unlock();
      }
      throw error;
    }
  }

  /** Maps pages up to the end of regions of physical memory that touch. Returns how many. */
  #mapRegion(page: number, paddr: number, pages: number, prot: number): number {
    const { regions } = this.#map;
    const region = this.#map.regionAt(paddr);
    if (region === null)
      throw new KernelError('ERANGE', 'iommu_map', `no memory at physical address 0x${paddr.toString(16)}`);
    const offset = (paddr - region.start) / PAGE_SIZE;
    const frame = region.frame + offset;
    let count = region.pages - offset;
    for (let i = region.index + 1; count < pages && regions[i]?.start === regions[i - 1]!.end; i++) {
      if (regions[i]!.frame !== frame + count) break;
      count += regions[i]!.pages;
    }
    count = Math.min(count, pages);
    this.#table.install(page, frame, pageNumber(paddr), count, prot);
    return count;
  }

  /** Removes whatever there is, gives up the lock, and invalidates. Returns bytes. */
  #unmapAny(iova: number, size: number): number {
    const gather = new IotlbGather();
    const pages = this.#remove(pageNumber(iova), size / PAGE_SIZE, gather);
    this.#publish();
    this.#lock.unlock();
    this.sync(gather);
    return pages * PAGE_SIZE;
  }

  #remove(page: number, pages: number, gather: IotlbGather): number {
    const few = this.#table.removeFew(lowBits(page) | 0, highBits(page), pages);
    if (few > 0) gather.add(page, page + few);
    if (few >= 0) return few;
    const isInside = (this.#table.leafAt(page)?.page ?? page) !== page;
    if (isInside && IOMMU_QUIRKS.has(this.#machine, 'iommu.unmapFromStart')) return 0;
    const removed = this.#table.remove(page, pages);
    if (removed.pages > 0) {
      this.#table.countMapped(-removed.pages);
      gather.add(removed.first, removed.end);
    }
    return removed.pages;
  }

  /** The unlock that follows publishes the changes. */
  #publish(): void {
    syncPoint('iommu.publish', this.#p);
  }
}
