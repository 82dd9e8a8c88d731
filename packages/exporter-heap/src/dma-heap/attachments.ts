import { orUndo } from '@dmabuf-emu/shm';
import { type Attachment, Device, type DmaBuf, type DmaDirection, SgTable } from '@dmabuf-emu/core';
import { dmaMapSgTable, dmaUnmapSgTable } from '../memory/dma-map-sg.ts';
import { dmaSyncSgTable, type SyncFor } from '../memory/dma-sync.ts';
import { HeapAttachmentStruct as A } from './buffer-struct.ts';
import { HeapBuffer } from './heap-buffer.ts';

/** Gives the attachment a table of its own. @kernel system_heap_attach, cma_heap_attach @throws KernelError ENOMEM */
export function attach(dmabuf: DmaBuf, attachment: Attachment): void {
  const { machine } = dmabuf;
  const slab = machine.slab(A);
  const ref = slab.alloc('heap_attach');
  orUndo(
    () => {
      const table = SgTable.alloc(machine, HeapBuffer.of(dmabuf).runs().length, 'heap_attach.table');
      table.nents = 0;
      A.buffer.set(machine.mem, slab.at(ref), dmabuf.priv);
      A.device.set(machine.mem, slab.at(ref), attachment.device.ref);
      A.table.set(machine.mem, slab.at(ref), table.ref);
      attachment.priv = ref;
    },
    () => slab.free(ref, 'heap_attach'),
  );
}

/** @kernel system_heap_detach, cma_heap_detach */
export function detach({ machine }: DmaBuf, attachment: Attachment): void {
  tableOf(attachment).free('heap_detach');
  machine.slab(A).free(attachment.priv, 'heap_detach');
}

/**
 * Maps the attachment's own table: there is only one, so that a second mapping of the same attachment takes the place of
 * the first, which can never be undone.
 * @kernel system_heap_map_dma_buf, cma_heap_map_dma_buf
 * @locks resv held
 * @throws KernelError EIO, ENOMEM, EINVAL
 */
export function map(attachment: Attachment, direction: DmaDirection): SgTable {
  const { machine, dmabuf } = attachment;
  const table = tableOf(attachment);
  const p = machine.slab(A).at(attachment.priv);
  if (A.mapped.get(machine.mem, p) !== 0) {
    machine.diag.violation({
      rule: 'heap-mapped-twice',
      text: `importer ${attachment.importerName} maps buffer ${dmabuf.label} for ${attachment.device.name} while it is mapped: the first mapping is lost`,
      importer: attachment.importerName,
      buffer: dmabuf.label,
      step: 'dma_buf_map_attachment',
    });
  }
  dmaMapSgTable(table, attachment.device, HeapBuffer.of(dmabuf).runs(), direction);
  A.mapped.store(machine.mem, p, 1);
  return table;
}

/** @kernel system_heap_unmap_dma_buf, cma_heap_unmap_dma_buf @locks resv held */
export function unmap(attachment: Attachment, table: SgTable): void {
  const { machine } = attachment;
  A.mapped.store(machine.mem, machine.slab(A).at(attachment.priv), 0);
  dmaUnmapSgTable(table, attachment.device);
}

/** Syncs the tables of all attachments that are mapped at the moment. Never fails. */
export function syncMapped({ machine, priv }: DmaBuf, direction: DmaDirection, side: SyncFor): void {
  if (!machine.trace.on) return;
  const slab = machine.slab(A);
  for (const ref of slab.live()) {
    const p = slab.tryAt(ref);
    if (p === 0 || A.buffer.get(machine.mem, p) !== priv || A.mapped.load(machine.mem, p) === 0) continue;
    const device = Device.byRef(machine, A.device.get(machine.mem, p));
    dmaSyncSgTable(new SgTable(machine, A.table.get(machine.mem, p)), device, direction, side);
  }
}

function tableOf({ machine, priv }: Attachment): SgTable {
  return new SgTable(machine, A.table.get(machine.mem, machine.slab(A).at(priv)));
}
