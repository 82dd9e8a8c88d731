import type { DmaDirection } from '@dmabuf-emu/core';
import { isKernelError } from '@dmabuf-emu/shm';
import { DMA_MAPPING_ERROR, type DmaAttributes, type DmaDevice, dmaLimit } from './dma-device.ts';
import { dmaInfoToProt, iommuDmaMap, iommuDmaUnmap } from './dma-iommu.ts';

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
  switch (device.iommu.type) {
    case 'dma':
    case 'dma-fq':
      return mapTranslated(device, phys, size, direction, attributes);
    case 'identity':
      return mapDirect(device, phys, size);
    case 'blocked':
    case 'unmanaged':
      device.machine.diag.warn(
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
  try {
    const address = iommuDmaMap(device, phys, size, dmaInfoToProt(direction, device.coherent, attributes));
    return address === 0 ? DMA_MAPPING_ERROR : address;
  } catch (error) {
    if (isKernelError(error)) return DMA_MAPPING_ERROR;
    throw error;
  }
}

/** @kernel dma_direct_map_phys */
function mapDirect(device: DmaDevice, phys: number, size: number): number {
  if (device.forceBounce) return DMA_MAPPING_ERROR;
  const limit = dmaLimit(device);
  if (limit !== 0 && phys + size - 1 <= limit) return phys;
  device.machine.diag.warnOnce(
    'dma_direct_map_phys',
    `${device.bdf}: 0x${phys.toString(16)}+0x${size.toString(16)} is out of the device's reach (up to 0x${limit.toString(16)})`,
  );
  return DMA_MAPPING_ERROR;
}
