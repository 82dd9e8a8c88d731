import { REVOCABLE_FIELDS } from '@dmabuf-emu/core';
import { i32, ref, struct, u53 } from '@dmabuf-emu/shm';

/** A buffer over parts of a BAR. @kernel vfio_pci_dma_buf */
export const VfioDmaBufStruct = struct('vfio_pci_dma_buf', {
  ...REVOCABLE_FIELDS,
  size: u53(),
  dmabuf: ref(),
  /** Index of the function, plus 1; 0 once the device was closed. @kernel vfio_pci_dma_buf.vdev */
  device: i32(),
  /** Neighbours in the device's list. Under memory_lock. */
  next: ref(),
  prev: ref(),
  listed: i32(),
  bar: i32(),
  /** Array of ranges, see {@link writeRanges}. */
  ranges: ref(),
  nrRanges: i32(),
  /** The buffer's lock or mappings of it were lost with a dead task; whether anybody still uses it cannot be known. */
  lost: i32(),
  ownerTask: i32(),
});
