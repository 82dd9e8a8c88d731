import type { Machine } from '@dmabuf-emu/shm';
import type { HostWindowDescription } from '../topology/index.ts';
import type { IommuDomain } from './iommu-domain.ts';

/** What the DMA API needs to know of a device. */
export interface DmaDevice {
  readonly machine: Machine;
  /** Name for messages. */
  readonly bdf: string;
  /** The domain that it is attached to. */
  readonly iommu: IommuDomain;
  /** Highest address that it can reach; 0 when none was ever set. @kernel device.dma_mask */
  readonly dmaMask: number;
  /** Highest address that its bus lets through; 0 for no limit. @kernel device.bus_dma_limit */
  readonly busDmaLimit: number;
  /**
   * What it can reach of physical memory, and at which bus addresses; empty: everything, as it is.
   * @kernel device.dma_range_map
   */
  readonly dmaRanges: readonly HostWindowDescription[];
  /** Sees the CPU's caches. */
  readonly coherent: boolean;
  /** Must not touch more than whole pages: unaligned buffers would be bounced. @kernel pci_dev.untrusted */
  readonly untrusted: boolean;
  /** Everything must be bounced. @kernel swiotlb=force */
  readonly forceBounce: boolean;
  /** Whether it still tries addresses below 4 GiB first; cleared for good when they run out. @kernel pci_32bit_workaround */
  prefers32Bit: boolean;
  /** Attaches it to its domain if that was put off until it is first used; false: in vain. @kernel iommu_deferred_attach */
  attachDeferred(): boolean;
}

/** Attributes of a DMA mapping. @kernel DMA_ATTR_MMIO */
export interface DmaAttributes {
  /** The address is MMIO: no cache maintenance, no bouncing. */
  readonly mmio?: boolean;
}

/** What `dmaMapPhys` returns when it failed. @kernel DMA_MAPPING_ERROR */
export const DMA_MAPPING_ERROR = -1;

/** @kernel dma_mapping_error */
export function dmaMappingError(address: number): boolean {
  return address === DMA_MAPPING_ERROR;
}

/** Highest address that mappings for a device may have. @kernel dma_get_mask */
export function dmaLimit(device: DmaDevice): number {
  const mask = device.dmaMask;
  const limit = device.busDmaLimit;
  return mask === 0 ? limit : limit === 0 ? mask : Math.min(mask, limit);
}

/** The address at which a device finds a physical address; `DMA_MAPPING_ERROR` when it does not. @kernel phys_to_dma */
export function physToDma(device: DmaDevice, phys: number): number {
  if (device.dmaRanges.length === 0) return phys;
  const range = device.dmaRanges.find(({ start, end }) => phys >= start && phys <= end);
  return range === undefined ? DMA_MAPPING_ERROR : phys + range.busOffset;
}
