import { DmaDirection } from '@dmabuf-emu/core';
import { isKernelError, KernelError, orUndo } from '@dmabuf-emu/shm';
import { type DmaAttributes, type DmaDevice, dmaLimit } from './dma-device.ts';
import { IotlbGather } from './iotlb-gather.ts';
import { IommuProt } from './prot.ts';
import { IOMMU_QUIRKS } from './quirks.ts';

const FOUR_GIB = 2 ** 32;
/** Sizes from here on have the bit set that stands for bounce buffers. @kernel DMA_IOVA_USE_SWIOTLB */
const SIZE_LIMIT = 2 ** 63;

/** A contiguous range of IOVAs that physical ranges are linked into one by one. @kernel struct dma_iova_state */
export interface DmaIovaState {
  addr: number;
  /** 0 when nothing is allocated. */
  size: number;
}

/** @kernel dma_use_iova */
export function dmaUseIova(state: DmaIovaState): boolean {
  return state.size !== 0;
}

/**
 * Allocates the IOVAs for a mapping of `size` bytes.
 * @param phys - only its offset in the page counts
 * @returns false when the device does not translate, when no address is free, or (with a WARN) for a size of 0 or 2^63
 * @kernel dma_iova_try_alloc
 */
export function dmaIovaTryAlloc(device: DmaDevice, state: DmaIovaState, phys: number, size: number): boolean {
  state.addr = 0;
  state.size = 0;
  if (!device.attachDeferred() || !device.iommu.isDma) return false;
  if (!(size > 0 && size < SIZE_LIMIT)) {
    device.machine.diag.warn('dma_iova_try_alloc', `${device.bdf}: size ${size} must be above 0 and below 2^63`);
    return false;
  }
  const offset = phys % granuleOf(device);
  const iova = allocIova(device, granuleUp(device, size + offset));
  if (iova === 0) return false;
  state.addr = iova + offset;
  state.size = size;
  return true;
}

/**
 * Links a physical range into the IOVAs at `offset`. Another link may follow; {@link dmaIovaSync} ends the series.
 * @throws KernelError EIO for an unaligned range that is not the first; EPERM for unaligned MMIO of an untrusted device;
 * EADDRINUSE where something is linked already; whatever mapping throws. Nothing of this range is linked then
 * @kernel dma_iova_link
 */
export function dmaIovaLink(
  device: DmaDevice,
  state: DmaIovaState,
  phys: number,
  offset: number,
  size: number,
  direction: DmaDirection,
  attributes: DmaAttributes,
): void {
  const pad = phys % granuleOf(device);
  if (pad !== 0 && offset > 0) {
    device.machine.diag.warnOnce('dma_iova_link', `${device.bdf}: only the first range may begin inside a page`);
    throw new KernelError('EIO', 'dma_iova_link', `range at 0x${phys.toString(16)} does not begin on a page`);
  }
  if (device.untrusted && (pad !== 0 || size % granuleOf(device) !== 0)) {
    throw new KernelError('EPERM', 'dma_iova_link', `${device.bdf} is untrusted and the range is not page aligned`);
  }
  const prot = dmaInfoToProt(direction, device.coherent, attributes);
  device.iommu.mapNosync(state.addr + offset - pad, phys - pad, granuleUp(device, size + pad), prot);
}

/** Makes linked ranges visible to the device. @kernel dma_iova_sync */
export function dmaIovaSync(device: DmaDevice, state: DmaIovaState, offset: number, size: number): void {
  const start = granuleDown(device, state.addr + offset);
  device.iommu.sync(start, granuleUp(device, state.addr + offset + size) - start);
}

/**
 * Removes linked ranges and invalidates the IOTLB; the IOVAs stay allocated. Of a function that was taken out of service
 * (blocked) nothing is removed: it reaches nothing any more.
 * @kernel dma_iova_unlink
 */
export function dmaIovaUnlink(device: DmaDevice, state: DmaIovaState, offset: number, size: number): void {
  const gather = new IotlbGather();
  const start = granuleDown(device, state.addr + offset);
  const bytes = granuleUp(device, state.addr + offset + size) - start;
  const removed = device.iommu.unmapFast(start, bytes, gather);
  device.iommu.iotlbSync(gather);
  if (removed !== bytes && device.iommu.type !== 'blocked') {
    device.machine.diag.warn(
      'dma_iova_unlink',
      `${device.bdf}: ${removed} of ${bytes} bytes were mapped at 0x${start.toString(16)}`,
    );
  }
}

/** Gives IOVAs back into which nothing is linked. @kernel dma_iova_free */
export function dmaIovaFree(device: DmaDevice, state: DmaIovaState): void {
  const start = granuleDown(device, state.addr);
  device.iommu.iovaFree(start, granuleUp(device, state.addr + state.size) - start);
  state.size = 0;
}

/**
 * Removes `mappedLength` linked bytes and gives all IOVAs back.
 * @param freeLength - give back only so many bytes; without it, all (kernels before 7.3 gave back the mapped length only)
 * @kernel dma_iova_destroy
 */
export function dmaIovaDestroy(
  device: DmaDevice,
  state: DmaIovaState,
  mappedLength: number,
  freeLength = state.size,
): void {
  if (
    mappedLength > 0 &&
    device.iommu.flushQueue !== null &&
    IOMMU_QUIRKS.has(device.machine, 'iommu.iovaDestroyQueued')
  ) {
    iommuDmaUnmap(device, state.addr, mappedLength);
    state.size = 0;
    return;
  }
  if (mappedLength > 0) dmaIovaUnlink(device, state, 0, mappedLength);
  const start = granuleDown(device, state.addr);
  device.iommu.iovaFree(start, granuleUp(device, state.addr + freeLength) - start);
  state.size = 0;
}

/** Permissions of a mapping; 0 for a direction that moves nothing. @kernel dma_info_to_prot */
export function dmaInfoToProt(direction: DmaDirection, coherent: boolean, { mmio = false }: DmaAttributes): number {
  const base = mmio ? IommuProt.MMIO : coherent ? IommuProt.CACHE : 0;
  switch (direction) {
    case DmaDirection.BIDIRECTIONAL:
      return base | IommuProt.READ | IommuProt.WRITE;
    case DmaDirection.TO_DEVICE:
      return base | IommuProt.READ;
    case DmaDirection.FROM_DEVICE:
      return base | IommuProt.WRITE;
    case DmaDirection.NONE:
      return 0;
  }
}

/** Maps one physical range at IOVAs of its own. 0 when no address is free. @kernel __iommu_dma_map @throws KernelError */
export function iommuDmaMap(device: DmaDevice, phys: number, size: number, prot: number): number {
  const offset = phys % granuleOf(device);
  const bytes = granuleUp(device, size + offset);
  device.iommu.flushQueue?.poll();
  const iova = allocIova(device, bytes);
  if (iova === 0) return 0;
  orUndo(
    () => device.iommu.map(iova, phys - offset, bytes, prot),
    () => device.iommu.iovaFree(iova, bytes),
  );
  return iova + offset;
}

/**
 * Removes what {@link iommuDmaMap} mapped, and invalidates at once or, where the domain has a flush queue, later: the IOVAs
 * are not given out again before.
 * @kernel __iommu_dma_unmap
 */
export function iommuDmaUnmap(device: DmaDevice, address: number, size: number): void {
  const { iommu: domain } = device;
  const start = granuleDown(device, address);
  const bytes = granuleUp(device, address + size) - start;
  const queue = domain.flushQueue?.isReady === true ? domain.flushQueue : null;
  const gather = new IotlbGather();
  const removed = domain.unmapFast(start, bytes, gather);
  if (removed !== bytes) {
    device.machine.diag.warn(
      'iommu_dma_unmap',
      `${device.bdf}: ${removed} of ${bytes} bytes were mapped at 0x${start.toString(16)}`,
    );
  }
  if (queue !== null) {
    queue.poll();
    queue.add(start, bytes);
    return;
  }
  domain.iotlbSync(gather);
  domain.iovaFree(start, bytes);
}

/** The unit of a device's mappings: the smallest page of its domain. @kernel iova_domain.granule */
function granuleOf(device: DmaDevice): number {
  return device.iommu.geometry.granule;
}

function granuleDown(device: DmaDevice, address: number): number {
  const granule = granuleOf(device);
  return Math.floor(address / granule) * granule;
}

function granuleUp(device: DmaDevice, address: number): number {
  const granule = granuleOf(device);
  return Math.ceil(address / granule) * granule;
}

/** IOVAs for a device: below 4 GiB first for as long as that works. 0 when there are none. @kernel iommu_dma_alloc_iova */
function allocIova(device: DmaDevice, bytes: number): number {
  try {
    return findIova(device, bytes);
  } catch (error) {
    if (isKernelError(error, 'ENOMEM')) return 0;
    throw error;
  }
}

function findIova(device: DmaDevice, bytes: number): number {
  const limit = dmaLimit(device);
  if (limit >= FOUR_GIB && device.prefers32Bit) {
    const low = device.iommu.iovaAlloc(bytes, FOUR_GIB - 1, false);
    if (low !== 0) return low;
    device.prefers32Bit = false;
    device.machine.diag.info(
      'iommu-wide',
      `${device.bdf}: no address below 4 GiB is free, using wide ones from now on`,
    );
  }
  return device.iommu.iovaAlloc(bytes, limit, true);
}
