import { orUndo } from '@dmabuf-emu/shm';
import {
  type Attachment,
  defineExporter,
  type DmaBuf,
  type DmaDirection,
  type Exporter,
  SgTable,
  type VmArea,
} from '@dmabuf-emu/core';
import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { dmaMapSgTable, dmaUnmapSgTable } from '../../memory/index.ts';
import { GemObject } from '../gem/gem-object.ts';
import { mmapObject } from '../gem/mmap.ts';
import { pageRuns, pinPages, unpinPages, vmapObject, vunmapObject } from '../gem/pages.ts';
import { rangeOffset } from '../gem/vma-range.ts';
import { DRM_QUIRKS } from '../quirks.ts';

/**
 * What dma-bufs of GEM objects do. Every thread that attaches to, maps or puts one must have registered it.
 * @kernel drm_gem_prime_dmabuf_ops
 */
export const drmExporter: Exporter = defineExporter({
  name: 'drm',
  attach,
  detach,
  map,
  unmap,
  release: (dmabuf) => gemOf(dmabuf).put(),
  mmap,
  vmap: (dmabuf) => vmapObject(gemOf(dmabuf)),
  vunmap: (dmabuf) => vunmapObject(gemOf(dmabuf)),
});

/** The object that a dma-buf was made of. */
export function gemOf(dmabuf: DmaBuf): GemObject {
  return GemObject.of(dmabuf.machine, dmabuf.priv);
}

/** @kernel drm_gem_map_attach @locks takes resv */
function attach(dmabuf: DmaBuf): void {
  dmabuf.resv.with(() => pinPages(gemOf(dmabuf)));
}

/** @kernel drm_gem_map_detach @locks takes resv */
function detach(dmabuf: DmaBuf): void {
  dmabuf.resv.with(() => unpinPages(gemOf(dmabuf)));
}

/** @kernel drm_gem_map_dma_buf @locks resv held */
function map({ dmabuf, device, machine }: Attachment, direction: DmaDirection): SgTable {
  dmabuf.resv.assertHeld('drm_gem_map_dma_buf');
  const runs = pageRuns(machine, gemOf(dmabuf).shmem!);
  const table = SgTable.alloc(machine, runs.length, 'drm_gem_map_dma_buf');
  return orUndo(
    () => {
      dmaMapSgTable(table, device, runs, direction);
      return table;
    },
    () => table.free('drm_gem_map_dma_buf'),
  );
}

/** @kernel drm_gem_unmap_dma_buf @locks resv held */
function unmap({ dmabuf, device }: Attachment, table: SgTable): void {
  dmabuf.resv.assertHeld('drm_gem_unmap_dma_buf');
  dmaUnmapSgTable(table, device);
  table.free('drm_gem_unmap_dma_buf');
}

/** The area shows the fake offset added to its own. @kernel drm_gem_dmabuf_mmap, drm_gem_prime_mmap */
function mmap(dmabuf: DmaBuf, area: VmArea): void {
  const { machine } = dmabuf;
  const gem = gemOf(dmabuf);
  const first = DRM_QUIRKS.has(machine, 'drm.shmemMmapLosesOffset') ? 0 : area.pageOffset;
  area.pageOffset += rangeOffset(machine, gem.ref) / PAGE_SIZE;
  mmapObject(gem, area, first);
}
