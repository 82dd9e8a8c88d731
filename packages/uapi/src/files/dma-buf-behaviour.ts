import { DmaBuf, PAGE_BYTES } from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';
import { dmaBufIoctl } from '../ioctl/dma-buf.ts';
import { UAPI_QUIRKS } from '../quirks.ts';
import { type FileBehaviour, FsMagic } from './file-behaviour.ts';

const SECTOR_BYTES = 512;

/** @kernel dma_buf_fops */
export function dmaBufBehaviour(machine: Machine): FileBehaviour {
  return {
    seekable: true,
    magic: FsMagic.DMA_BUF,
    noExec: !UAPI_QUIRKS.has(machine, 'uapi.pseudoFsExec'),
    stat: (file) => {
      const { ino, size } = DmaBuf.of(machine, file.priv);
      return { ino, size, blocks: Math.ceil(size / SECTOR_BYTES), blksize: PAGE_BYTES };
    },
    ioctl: dmaBufIoctl,
  };
}
