import { ioctlNumber, iow, iowr } from './ioctl-command.ts';
import { abiStruct, s32, u32, u64 } from './layout.ts';

/** Most bytes of a name, the closing NUL included. @kernel DMA_BUF_NAME_LEN */
export const DMA_BUF_NAME_LEN = 32;

export const DMA_BUF_IOCTL_SYNC = iow('DMA_BUF_IOCTL_SYNC', 'b', 0, abiStruct('dma_buf_sync', { flags: u64 }));

/** The argument itself is the address of the name. @kernel DMA_BUF_SET_NAME_A, DMA_BUF_SET_NAME_B */
export const DMA_BUF_SET_NAME_A = ioctlNumber(1, 'b', 1, 4);
export const DMA_BUF_SET_NAME_B = ioctlNumber(1, 'b', 1, 8);

const SyncFileArgs = { flags: u32, fd: s32 } as const;

export const DMA_BUF_IOCTL_EXPORT_SYNC_FILE = iowr(
  'DMA_BUF_IOCTL_EXPORT_SYNC_FILE',
  'b',
  2,
  abiStruct('dma_buf_export_sync_file', SyncFileArgs),
);

export const DMA_BUF_IOCTL_IMPORT_SYNC_FILE = iow(
  'DMA_BUF_IOCTL_IMPORT_SYNC_FILE',
  'b',
  3,
  abiStruct('dma_buf_import_sync_file', SyncFileArgs),
);
