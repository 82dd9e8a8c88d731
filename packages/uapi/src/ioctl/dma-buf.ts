import { DmaBuf } from '@dmabuf-emu/core';
import {
  DMA_BUF_IOCTL_EXPORT_SYNC_FILE,
  DMA_BUF_IOCTL_IMPORT_SYNC_FILE,
  DMA_BUF_IOCTL_SYNC,
  DMA_BUF_NAME_LEN,
  DMA_BUF_SET_NAME_A,
  DMA_BUF_SET_NAME_B,
} from '../abi/dma-buf.ts';
import type { IoctlCall } from '../files/file-behaviour.ts';
import { ioctlTable } from './ioctl-table.ts';

/** @kernel dma_buf_ioctl */
export const dmaBufIoctl = ioctlTable([
  [DMA_BUF_IOCTL_SYNC.number, sync],
  [DMA_BUF_SET_NAME_A, setName],
  [DMA_BUF_SET_NAME_B, setName],
  [DMA_BUF_IOCTL_EXPORT_SYNC_FILE.number, exportSyncFile],
  [DMA_BUF_IOCTL_IMPORT_SYNC_FILE.number, importSyncFile],
]);

function sync(call: IoctlCall): number {
  const { flags } = call.process.memory.get(call.argument, DMA_BUF_IOCTL_SYNC.struct);
  bufferOf(call).sync(Number(flags));
  return 0;
}

function setName(call: IoctlCall): number {
  bufferOf(call).setName(call.process.memory.string(call.argument, DMA_BUF_NAME_LEN));
  return 0;
}

function exportSyncFile(call: IoctlCall): number {
  const { process, argument } = call;
  const { struct } = DMA_BUF_IOCTL_EXPORT_SYNC_FILE;
  const { flags } = process.memory.get(argument, struct);
  bufferOf(call).exportSyncFile(flags, (fd) => process.memory.put(argument, struct, { flags, fd }));
  return 0;
}

function importSyncFile(call: IoctlCall): number {
  const { flags, fd } = call.process.memory.get(call.argument, DMA_BUF_IOCTL_IMPORT_SYNC_FILE.struct);
  bufferOf(call).importSyncFile(fd, flags);
  return 0;
}

function bufferOf({ process, file }: IoctlCall): DmaBuf {
  return DmaBuf.of(process.machine, file.priv);
}
