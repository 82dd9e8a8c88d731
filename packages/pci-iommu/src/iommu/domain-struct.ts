import { i32, mutex, ref, struct, u53, words } from '@dmabuf-emu/shm';

/**
 * Kinds of domains. `unmanaged` domains are filled by their owner (VFIO, iommufd), `dma` ones by the DMA API; `dma-fq` is
 * `dma` with invalidations put off.
 */
export const DOMAIN_TYPES = ['blocked', 'identity', 'dma', 'unmanaged', 'dma-fq'] as const;
/** @kernel IOMMU_DOMAIN_BLOCKED, IOMMU_DOMAIN_IDENTITY, IOMMU_DOMAIN_DMA, IOMMU_DOMAIN_UNMANAGED, IOMMU_DOMAIN_DMA_FQ */
export type DomainType = (typeof DOMAIN_TYPES)[number];

/** Whether the DMA API fills domains of this type. @kernel iommu_is_dma_domain */
export function isDmaType(type: DomainType): boolean {
  return type === 'dma' || type === 'dma-fq';
}

/** @kernel struct iommu_domain */
export const DomainStruct = struct('iommu_domain', {
  /** Index in {@link DOMAIN_TYPES}. */
  type: i32(),
  lock: mutex('iommu_domain.lock'),
  /** Word of the first entry of the top table; 0 for domains without a page table. */
  top: i32(),
  /** Newest table of the last level, and of those above; each links the next older one. */
  tables: ref(),
  upperTables: ref(),
  tableCount: i32(),
  /** Pages mapped. */
  mapped: u53(),
  /** Sizes of leaves: bit n for 2^n pages. */
  orders: i32(),
  /** IOVAs that can be mapped, both inclusive, and the end of what entries can point to. */
  apertureStart: u53(),
  apertureEnd: u53(),
  outputEnd: u53(),
  /** The page table is of the ARM kind. */
  arm: i32(),
  /** Word of the IOTLB, and its slot. */
  tlb: i32(),
  tlbRef: ref(),
  tlbSets: i32(),
  tlbWays: i32(),
  iova: ref(),
  /** What a domain of type `dma-fq` queues its invalidations in. */
  flushQueue: ref(),
  /** Functions attached. */
  devices: i32(),
  /** Function that the domain was made for, plus one; 0 for none. */
  owner: i32(),
});

/** An array of allocated ranges and what the search for free ones remembers. @kernel struct iova_domain */
export const IovaStruct = struct('iova_domain', {
  lock: mutex('iova_domain.lock'),
  /** Slot of the array of ranges, its word, ranges in use and room for. */
  ranges: ref(),
  rangesAt: i32(),
  count: i32(),
  room: i32(),
  /** Ranges there would be if neighbours were not merged. */
  nodes: i32(),
  /** Where the next search starts, below 4 GiB and above. @kernel cached32_node, cached_node */
  cached32: u53(),
  cached: u53(),
  /** A request this large is known to fail below 4 GiB. @kernel max32_alloc_size */
  max32: u53(),
  /** Pages that were reserved and never come back. */
  reserved: u53(),
  /** Words of full magazines, by order of their size. */
  depot: words(6),
  depotCount: words(6),
  /** Slot and word of the table of task caches, by task id. */
  caches: ref(),
  cachesAt: i32(),
});

/** Entries of a magazine. @kernel IOVA_MAG_SIZE */
export const MAGAZINE_ENTRIES = 127;
/** Orders 0..5 are kept in magazines: 1, 2, 4 .. 32 pages. @kernel IOVA_RANGE_CACHE_MAX_SIZE */
export const MAGAZINE_ORDERS = 6;

/** Freed page numbers of one size, as doubles. @kernel struct iova_magazine */
export const MagazineStruct = struct('iova_magazine', {
  count: i32(),
  /** Word of the next magazine of the depot. */
  next: i32(),
  /** Its own ref. */
  self: ref(),
  pages: words(MAGAZINE_ENTRIES * 2),
});

/** One task's magazines of one domain. @kernel struct iova_cpu_rcache */
export const TaskCacheStruct = struct('iova_task_cache', {
  /** Words of magazines, by order. */
  loaded: words(MAGAZINE_ORDERS),
  previous: words(MAGAZINE_ORDERS),
});
