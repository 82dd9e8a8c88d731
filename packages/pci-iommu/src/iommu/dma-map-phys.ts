import { DmaDirection } from '@dmabuf-emu/core';
import { isKernelError } from '@dmabuf-emu/shm';
import {
  DMA_MAPPING_ERROR,
  type DmaAttributes,
  type DmaDevice,
  dmaLimit,
  dmaMappingError,
  physToDma,
} from './dma-device.ts';
import { dmaInfoToProt, iommuDmaMap, iommuDmaUnmap } from './dma-iommu.ts';
import { IOMMU_QUIRKS } from './quirks.ts';

/**
 * Maps a physical range for a device, translated or, without an IOMMU, at its physical address.
 * @returns the address for the device, or `DMA_MAPPING_ERROR`
 * @kernel dma_map_phys
 */
export function dmaMapPhys(
  device: DmaDevice,
  phys: number,
  size: number,
  direction: DmaDirection,
  attributes: DmaAttributes,
): number {
  const { diag } = device.machine;
  if (direction === DmaDirection.NONE) diag.bug('dma-direction', `${device.bdf}: a mapping needs a direction`);
  if (device.dmaMask === 0) {
    diag.warnOnce('dma_map_phys', `${device.bdf} has no DMA mask`);
    return DMA_MAPPING_ERROR;
  }
  if (!device.attachDeferred()) return DMA_MAPPING_ERROR;
  switch (device.iommu.type) {
    case 'dma':
    case 'dma-fq':
      return mapTranslated(device, phys, size, direction, attributes);
    case 'identity':
      return mapDirect(device, phys, size, attributes);
    case 'blocked':
    case 'unmanaged':
      diag.warn(
        'dma_map_phys',
        `${device.bdf} is attached to a domain of type ${device.iommu.type}: the DMA API cannot be used`,
      );
      return DMA_MAPPING_ERROR;
  }
}

/** Ends a mapping of {@link dmaMapPhys}. @kernel dma_unmap_phys */
export function dmaUnmapPhys(device: DmaDevice, address: number, size: number): void {
  if (device.iommu.isDma) iommuDmaUnmap(device, address, size);
}

function mapTranslated(
  device: DmaDevice,
  phys: number,
  size: number,
  direction: DmaDirection,
  attributes: DmaAttributes,
): number {
  if (mustBounce(device, phys, size, attributes)) return DMA_MAPPING_ERROR;
  try {
    const address = iommuDmaMap(device, phys, size, dmaInfoToProt(direction, device.coherent, attributes));
    return address === 0 ? DMA_MAPPING_ERROR : address;
  } catch (error) {
    if (isKernelError(error)) return DMA_MAPPING_ERROR;
    throw error;
  }
}

/** Untrusted devices get whole pages only; there are no pages to copy the rest through. @kernel dev_use_swiotlb, iova_unaligned */
function mustBounce(device: DmaDevice, phys: number, size: number, { mmio = false }: DmaAttributes): boolean {
  const { granule } = device.iommu.geometry;
  if (!device.untrusted || (phys % granule === 0 && size % granule === 0)) return false;
  return !(mmio && IOMMU_QUIRKS.has(device.machine, 'iommu.bounceIgnoresMmio'));
}

/** @kernel dma_direct_map_phys */
function mapDirect(device: DmaDevice, phys: number, size: number, { mmio = false }: DmaAttributes): number {
  if (device.forceBounce) return DMA_MAPPING_ERROR;
  const verbatim = mmio && !IOMMU_QUIRKS.has(device.machine, 'iommu.mmioPhysToDma');
  const address = verbatim ? phys : physToDma(device, phys);
  const limit = dmaLimit(device);
  if (!dmaMappingError(address) && address + size - 1 <= limit) return address;
  device.machine.diag.warnOnce(
    'dma_direct_map_phys',
    `${device.bdf}: 0x${phys.toString(16)}+0x${size.toString(16)} is out of the device's reach (up to 0x${limit.toString(16)})`,
  );
  return DMA_MAPPING_ERROR;
}
