import {
  BusError,
  defineExporter,
  type DmaBuf,
  type Exporter,
  type ExporterOps,
  type KernelMapping,
  PAGE_BYTES,
  type VmArea,
  type VmOps,
} from '@dmabuf-emu/core';
import { isKernelError, KernelError } from '@dmabuf-emu/shm';
import { pageBytesAt } from '../memory/page-bytes.ts';
import { vmapPages, vunmapPages } from '../memory/vmap.ts';
import { attach, detach, map, syncMapped, unmap } from './attachments.ts';
import { unchargeCma } from './cma-area.ts';
import { HeapBuffer } from './heap-buffer.ts';

/** What both heaps do alike. */
const common = {
  attach,
  detach,
  map,
  unmap,
  release(dmabuf) {
    const buffer = HeapBuffer.of(dmabuf);
    const { cma, pages } = buffer;
    buffer.free();
    if (cma) unchargeCma(dmabuf.machine, pages);
  },
  beginCpuAccess: (dmabuf, direction) => syncMapped(dmabuf, direction, 'cpu'),
  endCpuAccess: (dmabuf, direction) => syncMapped(dmabuf, direction, 'device'),
  vmap,
  vunmap: (dmabuf, mapping) => vunmapPages(dmabuf.machine, mapping),
} satisfies Omit<ExporterOps, 'name'>;

/** Buffers of the system heap. Every thread that attaches to, maps or puts one must register it. @kernel system_heap_buf_ops */
export const systemHeapExporter: Exporter = defineExporter({ ...common, name: 'system-heap', mmap: mmapSystem });

/** Buffers of CMA heaps. @kernel cma_heap_buf_ops */
export const cmaHeapExporter: Exporter = defineExporter({
  ...common,
  name: 'cma-heap',
  map(attachment, direction) {
    try {
      return map(attachment, direction);
    } catch (error) {
      if (!isKernelError(error)) throw error;
      throw new KernelError('ENOMEM', 'cma_heap_map_dma_buf', error.message);
    }
  },
  mmap: mmapCma,
});

const vmOps: VmOps = {
  flags: ['pf', 'io', 'de', 'dd'],
  fault(area, page) {
    const buffer = new HeapBuffer(area.machine, area.priv);
    const paddr = buffer.paddr(area.pageOffset + page);
    if (paddr === undefined) throw new BusError('heap_vm_fault', `page ${area.pageOffset + page} of ${buffer.pages}`);
    return pageBytesAt(area.machine, paddr);
  },
};

/** A private mapping must lie in one run of pages: only such ones can be copied on write. @kernel system_heap_mmap, remap_pfn_range */
function mmapSystem(dmabuf: DmaBuf, area: VmArea): void {
  const run = HeapBuffer.of(dmabuf).runAt(area.pageOffset);
  const end = area.pageOffset + area.pages;
  if (!area.shared && (run === undefined || end > run.first + run.pages)) {
    throw new KernelError('EINVAL', 'remap_pfn_range', `a private mapping of ${area.length / PAGE_BYTES} pages`);
  }
  setOps(dmabuf, area);
}

/** @kernel cma_heap_mmap */
function mmapCma(dmabuf: DmaBuf, area: VmArea): void {
  if (!area.shared) throw new KernelError('EINVAL', 'cma_heap_mmap', 'a private mapping');
  setOps(dmabuf, area);
}

function setOps(dmabuf: DmaBuf, area: VmArea): void {
  area.priv = dmabuf.priv;
  area.ops = vmOps;
}

/** @kernel system_heap_vmap, cma_heap_vmap @locks resv held @throws KernelError ENOMEM */
function vmap(dmabuf: DmaBuf): KernelMapping {
  return vmapPages(dmabuf.machine, HeapBuffer.of(dmabuf).runs());
}
