import { KernelError } from '@dmabuf-emu/shm';
import type { FileOps } from '../../fd/file-ops.ts';
import { Seek } from '../../fd/open-flags.ts';
import { PollEvents } from '../../fd/poll/poll-events.ts';
import type { DmaBuf } from '../dma-buf.ts';
import { DMA_BUF_FILE } from './export.ts';
import { mmapArea } from './mmap.ts';
import { showName } from './name.ts';
import { pollBuffer } from './poll.ts';
import { releaseBuffer } from './release.ts';

/** How buffers behave as files. @kernel dma_buf_fops, dma_buf_dentry_ops */
export function dmaBufFileOps(open: (ref: number) => DmaBuf): FileOps {
  return {
    name: DMA_BUF_FILE,
    release: (file) => {
      if (file.priv !== 0) releaseBuffer(open(file.priv));
    },
    checkRelease: (file) => {
      if (file.priv !== 0) void open(file.priv).exporter;
    },
    describe: (file) => `buffer ${file.priv === 0 ? 'in the making' : open(file.priv).label}`,
    linkText: (file) => `/dmabuf:${showName(open(file.priv)) ?? ''}`,
    fdinfo: (file) => fdinfoLines(open(file.priv)),
    llseek: (file, offset, whence) => seek(open(file.priv), offset, whence),
    poll: (file, table) => (file.priv === 0 ? PollEvents.ERR : pollBuffer(open(file.priv), table)),
    mmap: (file, area) => mmapArea(open(file.priv), area),
  };
}

/** @kernel dma_buf_show_fdinfo */
function fdinfoLines(dmabuf: DmaBuf): string[] {
  const name = showName(dmabuf);
  const lines = [`size:\t${dmabuf.size}`, `count:\t${dmabuf.refs - 1}`, `exp_name:\t${dmabuf.expName}`];
  return name === null ? lines : [...lines, `name:\t${name}`];
}

/** Only tells the size; the position never changes. @kernel dma_buf_llseek */
function seek(dmabuf: DmaBuf, offset: number, whence: number): number {
  if (whence !== Seek.SET && whence !== Seek.END) {
    throw new KernelError('EINVAL', 'dma_buf_llseek', `whence must be SEEK_SET or SEEK_END, got ${whence}`);
  }
  if (offset !== 0) throw new KernelError('EINVAL', 'dma_buf_llseek', `offset must be 0, got ${offset}`);
  return whence === Seek.END ? dmabuf.size : 0;
}
