import { iowr } from './ioctl-command.ts';
import { abiStruct, u32, u64 } from './layout.ts';

export const DMA_HEAP_IOCTL_ALLOC = iowr(
  'DMA_HEAP_IOCTL_ALLOC',
  'H',
  0,
  abiStruct('dma_heap_allocation_data', { len: u64, fd: u32, fd_flags: u32, heap_flags: u64 }),
);
