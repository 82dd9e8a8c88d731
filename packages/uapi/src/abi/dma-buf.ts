import { ioctlNumber, iow, iowr } from './ioctl-command.ts';
import { abiStruct, s32, u32, u64 } from './layout.ts';

/** Most bytes of a name, the closing NUL included. @kernel DMA_BUF_NAME_LEN */
export const DMA_BUF_NAME_LEN = 32;

/** @kernel DMA_BUF_BASE */
const BASE = 'b';

/** @kernel DMA_BUF_IOCTL_SYNC, dma_buf_sync */
export const DMA_BUF_IOCTL_SYNC = iow('DMA_BUF_IOCTL_SYNC', BASE, 0, abiStruct('dma_buf_sync', { flags: u64 }));

/** The argument itself is the address of the name. @kernel DMA_BUF_SET_NAME_A */
export const DMA_BUF_SET_NAME_A = ioctlNumber(1, BASE, 1, 4);
/** The same for programs of 64 bits. @kernel DMA_BUF_SET_NAME_B, DMA_BUF_SET_NAME */
export const DMA_BUF_SET_NAME_B = ioctlNumber(1, BASE, 1, 8);

const SyncFileArgs = { flags: u32, fd: s32 } as const;

/** @kernel DMA_BUF_IOCTL_EXPORT_SYNC_FILE, dma_buf_export_sync_file */
export const DMA_BUF_IOCTL_EXPORT_SYNC_FILE = iowr(
  'DMA_BUF_IOCTL_EXPORT_SYNC_FILE',
  BASE,
  2,
  abiStruct('dma_buf_export_sync_file', SyncFileArgs),
);

/** @kernel DMA_BUF_IOCTL_IMPORT_SYNC_FILE, dma_buf_import_sync_file */
export const DMA_BUF_IOCTL_IMPORT_SYNC_FILE = iow(
  'DMA_BUF_IOCTL_IMPORT_SYNC_FILE',
  BASE,
  3,
  abiStruct('dma_buf_import_sync_file', SyncFileArgs),
);
