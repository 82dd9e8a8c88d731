import { KernelError } from '@dmabuf-emu/shm';
import type { Device } from '@dmabuf-emu/core';
import { type DmaDevice, physToDma } from './dma-device.ts';

const MASK_32 = 2 ** 32 - 1;
/** Highest address of the memory that is kept for devices with few address lines. @kernel ZONE_DMA */
const ZONE_DMA_END = 2 ** 24 - 1;

/** A device whose masks a driver sets. */
export interface MaskedDevice extends DmaDevice {
  readonly device: Device;
}

/** Tells which addresses a device can reach. @kernel dma_set_mask @throws KernelError EIO when no memory would be left for it */
export function dmaSetMask(device: MaskedDevice, mask: number): void {
  checkSupported(device, mask, 'dma_set_mask');
  device.device.dmaMask = mask;
}

/** {@link dmaSetMask} for memory that CPU and device share for good. @kernel dma_set_coherent_mask @throws KernelError EIO */
export function dmaSetCoherentMask(device: MaskedDevice, mask: number): void {
  checkSupported(device, mask, 'dma_set_coherent_mask');
  device.device.coherentDmaMask = mask;
}

/** @kernel dma_set_mask_and_coherent @throws KernelError EIO */
export function dmaSetMaskAndCoherent(device: MaskedDevice, mask: number): void {
  dmaSetMask(device, mask);
  dmaSetCoherentMask(device, mask);
}

/** @kernel dma_supported, dma_direct_supported */
function checkSupported(device: MaskedDevice, mask: number, call: string): void {
  if (device.iommu.isDma || mask >= MASK_32) return;
  const last = device.iommu.memoryMap.regions.reduce(
    (end, region) => (region.kind === 'ram' ? Math.max(end, region.end) : end),
    0,
  );
  if (mask >= physToDma(device, Math.min(ZONE_DMA_END, last - 1))) return;
  throw new KernelError(
    'EIO',
    call,
    `${device.bdf}: mask 0x${mask.toString(16)} reaches no memory that is kept for it`,
  );
}
