import { KernelError, type Machine, syncPoint, TaskKilled } from '@dmabuf-emu/shm';
import type { MemoryMap } from '../memory/memory-map.ts';
import { PAGE_SIZE, pageNumber, pageOffset } from '../memory/page.ts';
import { invalidateDeviceTlbs } from './ats/device-tlb.ts';
import { checkMap } from './check-map.ts';
import { DomainGeometry, IOVA_APERTURE_END } from './domain-geometry.ts';
import { createDomain, type DomainOptions, freeDomain } from './domain-lifetime.ts';
import { DomainMapper } from './domain-mapper.ts';
import { DOMAIN_TYPES, DomainStruct, type DomainType, isDmaType } from './domain-struct.ts';
import { faultHandlerId, reportFault } from './faults/fault-handler.ts';
import { FlushQueue } from './flush-queue.ts';
import { Iotlb, type IotlbStats } from './iotlb.ts';
import type { IotlbGather } from './iotlb-gather.ts';
import { IovaSpace } from './iova-space.ts';
import { highestOrder } from './page-sizes.ts';
import { PageTable } from './page-table.ts';
import { pageFaultHandlerId } from './pri/page-fault-handler.ts';
import { entryFrame, highBits, highPage, lowBits, lowPage, MAX_PAGE_NUMBER, walkEntry } from './table-entry.ts';

const NO_STATS: IotlbStats = {
  hits: 0,
  misses: 0,
  invalidations: 0,
  domainInvalidations: 0,
  globalInvalidations: 0,
};

/** A leaf of a domain's page table. */
export interface DomainMapping {
  readonly iova: number;
  readonly paddr: number;
  /** In bytes. */
  readonly size: number;
  readonly prot: number;
}

/** IOVAs that devices wrote to. */
export interface DirtyRange {
  readonly iova: number;
  /** In bytes. */
  readonly size: number;
}

/**
 * A set of translations for the devices attached to it: page table, IOTLB and, for the DMA API's domains, an allocator of
 * addresses. A handle; the domain itself is in the arena, and any thread may use it.
 *
 * Mapping and unmapping take the domain's lock; translating takes none.
 *
 * @kernel struct iommu_domain
 */
export class IommuDomain {
  readonly machine: Machine;
  readonly memoryMap: MemoryMap;
  readonly ref: number;
  readonly type: DomainType;
  /** What its page table can express. */
  readonly geometry: DomainGeometry;
  /** The cache of translations; `null` for domains without a page table. */
  readonly iotlb: Iotlb | null;
  /** Where unmapped IOVAs wait for their invalidation; `null` but for domains of type `dma-fq`. */
  readonly flushQueue: FlushQueue | null;
  readonly #i32: Int32Array;
  readonly #p: number;
  readonly #top: number;
  readonly #table: PageTable;
  readonly #mapper: DomainMapper;
  readonly #iova: IovaSpace | null;

  /** The handle of an existing domain. A stale `ref` is a BUG. */
  constructor(machine: Machine, map: MemoryMap, ref: number) {
    const { mem } = machine;
    const p = machine.slab(DomainStruct).at(ref);
    this.machine = machine;
    this.memoryMap = map;
    this.ref = ref;
    this.#i32 = mem.i32;
    this.#p = p;
    this.type = DOMAIN_TYPES[DomainStruct.type.get(mem, p)]!;
    this.#top = DomainStruct.top.get(mem, p);
    this.geometry = new DomainGeometry(machine, p);
    this.#table = new PageTable(machine, p);
    const tlb = DomainStruct.tlb.get(mem, p);
    this.iotlb =
      tlb === 0 ? null : new Iotlb(machine, tlb, DomainStruct.tlbSets.get(mem, p), DomainStruct.tlbWays.get(mem, p));
    this.#mapper = new DomainMapper(machine, map, p, this.#table, this.iotlb);
    this.iotlb?.tellDevices(p + DomainStruct.ats.at, (first, end) => invalidateDeviceTlbs(machine, ref, first, end));
    const iova = DomainStruct.iova.get(mem, p);
    this.#iova = iova === 0 ? null : new IovaSpace(machine, iova);
    const queue = DomainStruct.flushQueue.get(mem, p);
    this.flushQueue = queue === 0 ? null : new FlushQueue(machine, queue, ref, this.#iova!, () => this.flushIotlb());
  }

  /**
   * Makes a domain.
   * @kernel iommu_paging_domain_alloc
   * @throws KernelError ENOMEM; nothing is left then. EINVAL for an IOTLB shape that is not possible
   */
  static create(machine: Machine, map: MemoryMap, options: DomainOptions): IommuDomain {
    return new IommuDomain(machine, map, createDomain(machine, options));
  }

  /** Ends the domain. Nothing may be attached or in flight. @kernel iommu_domain_free */
  destroy(): void {
    freeDomain(this.machine, this.ref);
  }

  /** Whether it has a page table. @kernel __IOMMU_DOMAIN_PAGING */
  get isPaging(): boolean {
    return this.#top !== 0;
  }

  /** Whether the DMA API fills it. @kernel iommu_is_dma_domain */
  get isDma(): boolean {
    return isDmaType(this.type);
  }

  /** Pages mapped at the moment. */
  get mappedPages(): number {
    return DomainStruct.mapped.get(this.machine.mem, this.#p);
  }

  /** Tables of the page table, empty ones included: they are only given back with the domain. */
  get tableCount(): number {
    return DomainStruct.tableCount.load(this.machine.mem, this.#p);
  }

  get iotlbStats(): IotlbStats {
    return this.iotlb?.stats ?? NO_STATS;
  }

  /** Index of the function it was made for; -1 for none. */
  get owner(): number {
    return DomainStruct.owner.get(this.machine.mem, this.#p) - 1;
  }

  /** Functions attached. */
  get devices(): number {
    return DomainStruct.devices.load(this.machine.mem, this.#p);
  }

  /** Counts a function that was attached (+1) or detached (-1). */
  countDevice(by: 1 | -1): void {
    DomainStruct.devices.add(this.machine.mem, this.#p, by);
  }

  /**
   * Maps `size` bytes at `iova` to physical addresses from `paddr` on, with the largest pages that fit.
   * @param prot - bits of `IommuProt`; READ or WRITE or both
   * @throws KernelError EINVAL for arguments that are no multiples of the granule, no permission or a domain without page
   * table; ERANGE beyond the aperture, the output bits or where no memory is; EOVERFLOW beyond 2^64; EADDRINUSE (EEXIST with
   * the ARM format) over an existing mapping; ENOMEM. Nothing stays mapped then
   * @kernel iommu_map
   */
  map(iova: number, paddr: number, size: number, prot: number): void {
    this.mapNosync(iova, paddr, size, prot);
    try {
      this.sync(iova, size);
    } catch (error) {
      if (!(error instanceof TaskKilled)) this.unmap(iova, size);
      throw error;
    }
  }

  /** {@link map} without telling the hardware: {@link sync} must follow. @kernel iommu_map_nosync */
  mapNosync(iova: number, paddr: number, size: number, prot: number): void {
    checkMap(this, iova, paddr, size, prot);
    const { machine } = this;
    if (machine.faults.armed) machine.faults.check('iommu.map');
    this.#mapper.map(iova, paddr, size, prot);
  }

  /**
   * Makes mappings visible to hardware that caches missing ones. This hardware does not: it can only fail, where failures
   * are injected.
   * @throws KernelError ENOMEM
   * @kernel iommu_sync_map, iotlb_sync_map
   */
  sync(_iova: number, _size: number): void {
    syncPoint('iommu.sync-map', this.#p);
    const { faults } = this.machine;
    if (faults.armed) faults.check('iommu.sync-map');
  }

  /**
   * Removes translations and invalidates the IOTLB.
   * @returns bytes removed: up to the first hole; more than asked when the range begins or ends inside a large leaf, which
   * goes as a whole; 0 for arguments that are no multiples of the granule and for domains without page table
   * @kernel iommu_unmap
   */
  unmap(iova: number, size: number): number {
    if (!this.isPaging || ((iova | size) & (this.geometry.granule - 1)) !== 0) return 0;
    return this.#mapper.unmap(iova, size);
  }

  /**
   * {@link unmap} without invalidating: translations may go on working until {@link iotlbSync} gets `gather`.
   * @kernel iommu_unmap_fast
   */
  unmapFast(iova: number, size: number, gather: IotlbGather): number {
    if (!this.isPaging || ((iova | size) & (this.geometry.granule - 1)) !== 0) return 0;
    return this.#mapper.unmapFast(iova, size, gather);
  }

  /** Invalidates what was gathered: no new access uses it any more. @kernel iommu_iotlb_sync */
  iotlbSync(gather: IotlbGather): void {
    this.#mapper.sync(gather);
  }

  /** Invalidates everything. @kernel iommu_flush_iotlb_all */
  flushIotlb(): void {
    syncPoint('iommu.iotlb-flush', this.#p);
    this.iotlb?.invalidateAll();
  }

  /** Physical address behind an IOVA by the page table; 0 when it is not mapped. @kernel iommu_iova_to_phys */
  iovaToPhys(iova: number): number {
    const top = this.#top;
    if (top === 0) return this.type === 'identity' ? iova : 0;
    const high = highPage(iova);
    if (high >>> 4 !== 0) return 0;
    const entry = walkEntry(this.#i32, top, lowPage(iova), high);
    return entry === 0 ? 0 : this.memoryMap.paddrOf(entryFrame(entry)) + pageOffset(iova);
  }

  /** Size in bytes of the page-table leaf that an IOVA is in; 0 when it is not mapped. */
  leafSizeAt(iova: number): number {
    return (this.#table.leafAt(pageNumber(iova))?.pages ?? 0) * PAGE_SIZE;
  }

  /** Everything that is mapped, a leaf of the page table each, in ascending order. For a quiet machine. */
  *mappings(): Generator<DomainMapping> {
    for (const { page, pages, frame, prot } of this.#table.leaves())
      yield { iova: page * PAGE_SIZE, paddr: this.memoryMap.paddrOf(frame), size: pages * PAGE_SIZE, prot };
  }

  /**
   * Splits the leaves in a range that are larger than `pageSize`, those at its ends too. Translations stay as they are.
   * @param pageSize - the largest size of the domain that is not above it is used
   * @returns how many leaves were split
   * @throws KernelError EINVAL for a domain without page table or without such a size, ERANGE outside of the aperture; ENOMEM:
   * what was split stays so
   */
  split(iova: number, size: number, pageSize: number = this.geometry.granule): number {
    const { pgsizeBitmap } = this.geometry;
    const order =
      pageSize < PAGE_SIZE ? -1 : highestOrder(pgsizeBitmap / PAGE_SIZE, Math.floor(Math.log2(pageSize)) - 12);
    if (!this.isPaging || order < 0) {
      throw new KernelError('EINVAL', 'iommu_split', `a domain of type ${this.type} has no pages of ${pageSize} bytes`);
    }
    this.#checkRange('iommu_split', iova, size);
    return this.#mapper.split(pageNumber(iova), Math.ceil((iova + size) / PAGE_SIZE), order);
  }

  /** Whether what devices write is noted. */
  get tracksDirty(): boolean {
    return this.#table.dirty.isOn;
  }

  /**
   * Begins to note what devices write, or ends it. At the beginning nothing is dirty.
   * @throws KernelError EOPNOTSUPP for a domain without page table
   * @kernel iommu_dirty_ops.set_dirty_tracking
   */
  setDirtyTracking(on: boolean): void {
    if (!this.isPaging)
      throw new KernelError('EOPNOTSUPP', 'set_dirty_tracking', `a domain of type ${this.type} notes nothing`);
    this.#mapper.track(on);
  }

  /**
   * What devices wrote in a range since it was asked for last: whole leaves of the page table, as far as they are in the range.
   * {@link split} makes it more exact.
   * @throws KernelError EINVAL while nothing is noted, ERANGE outside of the aperture
   * @kernel iommu_dirty_ops.read_and_clear_dirty
   */
  readAndClearDirty(iova: number, size: number): readonly DirtyRange[] {
    return this.#scanDirty(iova, size, true);
  }

  /** {@link readAndClearDirty} that leaves it dirty. @kernel IOMMU_DIRTY_NO_CLEAR */
  readDirty(iova: number, size: number): readonly DirtyRange[] {
    return this.#scanDirty(iova, size, false);
  }

  /** A device wrote to pages [page, end). For the ports that move the bytes. */
  markDirty(page: number, end: number): void {
    this.#table.dirty.mark(page, end);
  }

  /** Page-table entry of a page, past the IOTLB; 0 when it is not mapped. */
  walk(page: number): number {
    if (this.#top === 0 || page >= MAX_PAGE_NUMBER) return 0;
    return walkEntry(this.#i32, this.#top, lowBits(page), highBits(page));
  }

  /**
   * Entry of a page as a device's access gets it: from the IOTLB if it is there, else from the page table, and then cached.
   * @param check - compare hits with the page table and tell by {@link staleHit}
   */
  translate(page: number, check: boolean): number {
    if (this.iotlb === null || page >= MAX_PAGE_NUMBER) return 0;
    return this.iotlb.translate(this.#top, lowBits(page) | 0, highBits(page), check);
  }

  /** Whether the last {@link translate} used a cached entry that differs from the page table. */
  get staleHit(): boolean {
    return this.iotlb !== null && this.iotlb.stale;
  }

  /**
   * Takes a range of IOVAs for `size` bytes that ends at or below address `limit`.
   * @param flush - take back recycled ranges when nothing is free
   * @returns the address, or 0 when nothing is free or the domain has no allocator
   * @throws KernelError ENOMEM
   */
  iovaAlloc(size: number, limit: number = IOVA_APERTURE_END, flush = true): number {
    const iova = this.#iova;
    if (iova === null || size <= 0) return 0;
    const { granule } = iova;
    const end = limit >= IOVA_APERTURE_END ? iova.top : Math.floor(limit / granule) + 1;
    if (size <= iova.recycledBytes) {
      const page = iova.allocRecycled((size + granule - 1) >>> iova.shift, end);
      if (page > 0) return page * granule;
    }
    return iova.alloc(Math.ceil(size / granule), end, flush) * granule;
  }

  /** Gives a range back that {@link iovaAlloc} gave out: address and size as they were. */
  iovaFree(iova: number, size: number): void {
    const space = this.#iova;
    if (space === null) return;
    const { granule } = space;
    const page = Math.floor(iova / granule);
    if (size <= space.recycledBytes && space.recycle(page, (size + granule - 1) >>> space.shift)) return;
    space.free(page, Math.ceil(size / granule));
  }

  /** Pages of IOVAs that are taken and neither given back nor waiting for a flush. Exact on a quiet machine. */
  get livePages(): number {
    return (this.#iova?.livePages() ?? 0) - (this.flushQueue?.pages ?? 0);
  }

  /** The allocator of addresses; `null` but for the DMA API's domains. */
  get iova(): IovaSpace | null {
    return this.#iova;
  }

  /**
   * Has pages that functions ask for made present by the handler of that name (see `installPageFaultHandler`), or, with `null`,
   * refused.
   * @kernel iommu_domain.iopf_handler
   */
  onPageFault(handler: string | null): void {
    const id = handler === null ? 0 : pageFaultHandlerId(this.machine, handler);
    DomainStruct.pageFaultHandler.store(this.machine.mem, this.#p, id);
  }

  /** Has the handler of that name (see `installFaultHandler`) told of faults, or, with `null`, nobody. @kernel iommu_set_fault_handler */
  onFault(handler: string | null): void {
    const id = handler === null ? 0 : faultHandlerId(this.machine, handler);
    DomainStruct.faultHandler.store(this.machine.mem, this.#p, id);
  }

  /** A function's access was refused. @throws UsageError when the calling thread has not registered the handler @kernel report_iommu_fault */
  reportFault(fn: number, iova: number, write: boolean): void {
    const id = DomainStruct.faultHandler.load(this.machine.mem, this.#p);
    if (id !== 0) reportFault(this.machine, id, { domain: this.ref, fn, iova, write });
  }

  /** Compares counters with tables, for checks on a quiet machine. Returns what is wrong. */
  audit(): string[] {
    if (!this.isPaging) return [];
    const [pages, tables] = [this.#table.count(), this.#table.countTables()];
    const wrong = [...(this.#iova?.audit() ?? [])];
    if (pages !== this.mappedPages)
      wrong.push(`domain ${this.ref}: ${pages} pages are mapped, the counter says ${this.mappedPages}`);
    if (tables !== this.tableCount)
      wrong.push(`domain ${this.ref}: ${tables} tables can be reached of ${this.tableCount}`);
    return wrong;
  }

  #scanDirty(iova: number, size: number, clean: boolean): readonly DirtyRange[] {
    if (!this.tracksDirty) throw new KernelError('EINVAL', 'read_and_clear_dirty', 'writes are not noted');
    this.#checkRange('read_and_clear_dirty', iova, size);
    const ranges: DirtyRange[] = [];
    this.#mapper.scanDirty(pageNumber(iova), Math.ceil((iova + size) / PAGE_SIZE), clean, (first, end) => {
      const last = ranges.at(-1);
      const joins = last !== undefined && last.iova + last.size === first * PAGE_SIZE;
      if (joins) ranges[ranges.length - 1] = { iova: last.iova, size: end * PAGE_SIZE - last.iova };
      else ranges.push({ iova: first * PAGE_SIZE, size: (end - first) * PAGE_SIZE });
    });
    return ranges;
  }

  #checkRange(call: string, iova: number, size: number): void {
    const { start, end } = this.geometry.aperture;
    if (iova >= start && size >= 0 && iova + size - 1 <= end) return;
    throw new KernelError('ERANGE', call, `0x${iova.toString(16)}+${size} is outside of the aperture`);
  }
}
