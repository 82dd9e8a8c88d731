import { KernelError } from '@dmabuf-emu/shm';
import type { DmaBuf } from '../dma-buf.ts';
import { PAGE_BYTES, VmArea, type VmAreaInfo } from '../../fd/vm-area.ts';

/** What a process asks for with mmap(2). `offset` in bytes, a multiple of the page size. */
export interface MmapRequest {
  readonly offset: number;
  readonly length: number;
  readonly shared?: boolean;
  readonly writable?: boolean;
}

/** mmap(2) on the buffer's descriptor. */
export function mmapFile(dmabuf: DmaBuf, { offset, length, shared = true, writable = true }: MmapRequest): VmArea {
  if (offset < 0 || offset % PAGE_BYTES !== 0) {
    throw new KernelError('EINVAL', 'mmap', `offset must be a multiple of ${PAGE_BYTES}, got ${offset}`);
  }
  const info: VmAreaInfo = { pageOffset: offset / PAGE_BYTES, length, shared, writable };
  requireMmap(dmabuf, 'dma_buf_mmap_internal');
  return VmArea.map(dmabuf.file, info, (area) => mmapArea(dmabuf, area));
}

/** Puts the buffer behind an area of its own file. @kernel dma_buf_mmap_internal */
export function mmapArea(dmabuf: DmaBuf, area: VmArea): void {
  const mmap = requireMmap(dmabuf, 'dma_buf_mmap_internal');
  checkEnd(dmabuf, area.pageOffset, area.pages, 'dma_buf_mmap_internal');
  dmabuf.traceBuffer('dma_buf_mmap_internal');
  mmap(dmabuf, area);
}

/** Puts the buffer behind an area that was to map another file. @kernel dma_buf_mmap @locks resv not held */
export function mmapRedirect(dmabuf: DmaBuf, area: VmArea, pageOffset: number): void {
  if (area === null || area === undefined) {
    dmabuf.machine.diag.warn('dma_buf_mmap', 'mmap without an area');
    throw new KernelError('EINVAL', 'dma_buf_mmap', 'no area was given');
  }
  const mmap = requireMmap(dmabuf, 'dma_buf_mmap');
  if (pageOffset + area.pages >= 2 ** 64) {
    throw new KernelError('EOVERFLOW', 'dma_buf_mmap', `page ${pageOffset} and ${area.pages} more exceed 64 bits`);
  }
  checkEnd(dmabuf, pageOffset, area.pages, 'dma_buf_mmap');
  area.setFile(dmabuf.file);
  area.pageOffset = pageOffset;
  dmabuf.traceBuffer('dma_buf_mmap');
  mmap(dmabuf, area);
}

function requireMmap(dmabuf: DmaBuf, where: string): (dmabuf: DmaBuf, area: VmArea) => void {
  const { exporter } = dmabuf;
  if (exporter.mmap === undefined) throw new KernelError('EINVAL', where, `exporter ${exporter.name} has no mmap`);
  return (...args) => exporter.mmap!(...args);
}

/** The part of the buffer behind its last whole page cannot be mapped. */
function checkEnd(dmabuf: DmaBuf, pageOffset: number, pages: number, where: string): void {
  const limit = Math.floor(dmabuf.size / PAGE_BYTES);
  if (pageOffset + pages <= limit) return;
  throw new KernelError(
    'EINVAL',
    where,
    `pages ${pageOffset} to ${pageOffset + pages} of a buffer of ${limit} whole pages`,
  );
}
