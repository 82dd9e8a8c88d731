import { i32, mutex, ref, struct, u53 } from '@dmabuf-emu/shm';

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
  /** Writes of devices are noted in the page table. */
  dirtyTracking: i32(),
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
  /** Functions attached, and those of them that cache translations. */
  devices: i32(),
  ats: i32(),
  /** Numbers of the code that makes pages present, and of that which is told of faults; 0 for none. */
  pageFaultHandler: i32(),
  faultHandler: i32(),
  /** Function that the domain was made for, plus one; 0 for none. */
  owner: i32(),
});
