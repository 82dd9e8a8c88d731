import {
  type Attachment,
  BusError,
  defineExporter,
  type DmaBuf,
  type DmaDirection,
  type Exporter,
  type KernelMapping,
  SgTable,
  type VmArea,
  type VmOps,
} from '@dmabuf-emu/core';
import { isKernelError, KernelError, orUndo } from '@dmabuf-emu/shm';
import { dmaMapSgTable, dmaUnmapSgTable } from '../memory/dma-map-sg.ts';
import { pageBytesAt } from '../memory/page-bytes.ts';
import { vmapPages, vunmapPages } from '../memory/vmap.ts';
import { beginCpuAccess, dropTable, endCpuAccess } from './cpu-access.ts';
import { pagesOf } from './pages-of.ts';
import { UdmabufStruct as U } from './udmabuf-struct.ts';

/** The exporter's operations. Every thread that maps, unmaps or puts a buffer must register it. @kernel udmabuf_ops */
export const udmabufDriver: Exporter = defineExporter({
  name: 'udmabuf',
  map,
  unmap,
  release,
  beginCpuAccess,
  endCpuAccess,
  mmap,
  vmap,
  vunmap: (dmabuf, mapping) => vunmapPages(dmabuf.machine, mapping),
});

/** @kernel map_udmabuf @locks resv held */
function map(attachment: Attachment, direction: DmaDirection): SgTable {
  const pages = pagesOf(attachment.machine, attachment.dmabuf.priv);
  const table = SgTable.alloc(attachment.machine, pages.count, 'get_sg_table');
  orUndo(
    () => dmaMapSgTable(table, attachment.device, pages.pages(), direction),
    () => table.free('get_sg_table'),
  );
  return table;
}

/** @kernel unmap_udmabuf @locks resv held */
function unmap(attachment: Attachment, table: SgTable): void {
  dmaUnmapSgTable(table, attachment.device);
  table.free('put_sg_table');
}

/** @kernel release_udmabuf */
function release(dmabuf: DmaBuf): void {
  dropTable(dmabuf);
  pagesOf(dmabuf.machine, dmabuf.priv).free();
  dmabuf.machine.slab(U).free(dmabuf.priv, 'release_udmabuf');
}

/** @kernel udmabuf_vm_ops */
const vmOps: VmOps = {
  flags: ['pf', 'de', 'dd'],
  fault(area, page) {
    const pages = pagesOf(area.machine, area.priv);
    const index = area.pageOffset + page;
    if (index >= pages.count) throw new BusError('udmabuf_vm_fault', `page ${index} of ${pages.count}`);
    return pageBytesAt(area.machine, pages.paddr(index));
  },
};

/** @kernel mmap_udmabuf */
function mmap(dmabuf: DmaBuf, area: VmArea): void {
  if (!area.shared) throw new KernelError('EINVAL', 'mmap_udmabuf', 'a private mapping');
  area.priv = dmabuf.priv;
  area.ops = vmOps;
}

/** @kernel vmap_udmabuf @locks resv held */
function vmap(dmabuf: DmaBuf): KernelMapping {
  try {
    return vmapPages(dmabuf.machine, pagesOf(dmabuf.machine, dmabuf.priv).runs());
  } catch (error) {
    if (!isKernelError(error, 'ENOMEM')) throw error;
    throw new KernelError('EINVAL', 'vmap_udmabuf', error.message);
  }
}
