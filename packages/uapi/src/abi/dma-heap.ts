import { iowr } from './ioctl-command.ts';
import { abiStruct, u32, u64 } from './layout.ts';

/** @kernel DMA_HEAP_IOC_MAGIC */
const MAGIC = 'H';

/** @kernel DMA_HEAP_IOCTL_ALLOC, dma_heap_allocation_data */
export const DMA_HEAP_IOCTL_ALLOC = iowr(
  'DMA_HEAP_IOCTL_ALLOC',
  MAGIC,
  0,
  abiStruct('dma_heap_allocation_data', { len: u64, fd: u32, fd_flags: u32, heap_flags: u64 }),
);
