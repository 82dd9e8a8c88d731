import { DmaBuf, DmaDirection } from '@dmabuf-emu/core';
import { KernelError } from '@dmabuf-emu/shm';
import {
  DMA_BUF_IOCTL_SYNC,
  DMA_BUF_NAME_LEN,
  DMA_BUF_SET_NAME_A,
  DMA_BUF_SET_NAME_B,
  DmaBufSyncFlags as Sync,
} from '../abi/dma-buf.ts';
import type { IoctlCall } from '../files/file-behaviour.ts';
import { ioctlTable } from './ioctl-table.ts';

const DIRECTIONS = [undefined, DmaDirection.FROM_DEVICE, DmaDirection.TO_DEVICE, DmaDirection.BIDIRECTIONAL];

/** @kernel dma_buf_ioctl */
export const dmaBufIoctl = ioctlTable([
  [DMA_BUF_IOCTL_SYNC.number, sync],
  [DMA_BUF_SET_NAME_A, setName],
  [DMA_BUF_SET_NAME_B, setName],
]);

function sync(call: IoctlCall): number {
  const { process, argument } = call;
  const { flags } = process.memory.get(argument, DMA_BUF_IOCTL_SYNC.struct);
  if ((flags & ~(Sync.RW | Sync.END)) !== 0n || (flags & Sync.RW) === 0n) {
    throw new KernelError('EINVAL', 'DMA_BUF_IOCTL_SYNC', `flags are READ, WRITE or both, and END; got ${flags}`);
  }
  const direction = DIRECTIONS[Number(flags & Sync.RW)]!;
  if ((flags & Sync.END) === 0n) bufferOf(call).beginCpuAccess(direction);
  else bufferOf(call).endCpuAccess(direction);
  return 0;
}

function setName(call: IoctlCall): number {
  bufferOf(call).setName(call.process.memory.string(call.argument, DMA_BUF_NAME_LEN));
  return 0;
}

function bufferOf({ process, file }: IoctlCall): DmaBuf {
  return DmaBuf.of(process.machine, file.priv);
}
