import { isKernelError, KernelError, orUndo } from '@dmabuf-emu/shm';
import { ResvUsage } from '../../resv/index.ts';
import type { DmaDirection } from '../../sg/dma-direction.ts';
import { SgTable } from '../../sg/sg-table.ts';
import { SgTableStruct as T } from '../../sg/sg-table-struct.ts';
import type { Attachment } from '../attachment.ts';
import type { Exporter } from '../drivers.ts';
import { violate } from '../rules.ts';
import { listPush, listRemove } from './list.ts';
import { requireResv } from './require-resv.ts';
import { AttachmentStruct as A } from './structs.ts';
import { unwrapTable, wrapTable } from './wrap-table.ts';

const PAGE_BYTES = 4096;

/** @kernel dma_buf_map_attachment @locks resv held */
export function mapAttachment(attachment: Attachment, direction: DmaDirection): SgTable {
  const { dmabuf } = attachment;
  attachment.at('dma_buf_map_attachment');
  requireResv(dmabuf, 'dma_buf_map_attachment', attachment);
  const { exporter, state } = dmabuf;
  const pinned = pinsOnMap(attachment, exporter);
  if (pinned) pinForMap(attachment, exporter);
  const table = orUndo(
    () => mapPinned(attachment, exporter, direction),
    () => {
      if (pinned) exporter.unpin!(attachment);
    },
  );
  state.trace.emit('dma_buf_map_attachment', dmabuf.ino, attachment.ref, table.ref, direction);
  return table;
}

/** @kernel dma_buf_unmap_attachment @locks resv held */
export function unmapAttachment(attachment: Attachment, table: SgTable, direction: DmaDirection): void {
  const { dmabuf, machine } = attachment;
  if (table === null || table === undefined) {
    machine.diag.warn('dma_buf_unmap_attachment', `unmap of buffer ${dmabuf.label} without a table`);
    return;
  }
  attachment.at('dma_buf_unmap_attachment');
  requireResv(dmabuf, 'dma_buf_unmap_attachment', attachment);
  const { exporter, state } = dmabuf;
  if (!unlink(attachment, table)) {
    const { importerName, device } = attachment;
    violate(
      dmabuf,
      'double-unmap',
      `importer ${importerName} unmaps a table from ${device.name} that is not mapped through this attachment`,
      { step: 'dma_buf_unmap_attachment', attachment, data: { table: table.ref, task: machine.tid } },
    );
    return;
  }
  exporter.unmap(attachment, unwrapTable(table), direction);
  if (pinsOnMap(attachment, exporter)) exporter.unpin!(attachment);
  state.trace.emit('dma_buf_unmap_attachment', dmabuf.ino, attachment.ref, table.ref, direction);
}

/** A static importer's mapping must not move, and the importer would not notice if it did. @kernel dma_buf_pin_on_map */
function pinsOnMap(attachment: Attachment, exporter: Exporter): boolean {
  return exporter.pin !== undefined && !attachment.isDynamic;
}

function pinForMap(attachment: Attachment, exporter: Exporter): void {
  try {
    exporter.pin!(attachment);
  } catch (error) {
    if (isKernelError(error, 'EBUSY')) {
      attachment.machine.diag.warnOnce(
        'dma_buf_map_attachment',
        `exporter ${exporter.name} made a buffer inaccessible that has attachments`,
      );
    }
    throw error;
  }
}

function mapPinned(attachment: Attachment, exporter: Exporter, direction: DmaDirection): SgTable {
  const { dmabuf, machine } = attachment;
  const made = exporter.map(attachment, direction);
  if (made === null || made === undefined) {
    throw new KernelError('ENOMEM', 'dma_buf_map_attachment', `exporter ${exporter.name} returned no table`);
  }
  return orUndo(
    () => {
      if (!attachment.isDynamic) dmabuf.resv.wait(ResvUsage.KERNEL, { interruptible: true });
      const table = dmabuf.state.wrapTables ? wrapTable(made) : made;
      publish(attachment, table, direction);
      if (machine.options.debugObjects) checkAlignment(attachment, table);
      return table;
    },
    () => exporter.unmap(attachment, made, direction),
  );
}

/** Notes the table as live, so that its unmap can be checked and its owner's death be cleaned up. */
function publish(attachment: Attachment, table: SgTable, direction: DmaDirection): void {
  const { dmabuf, machine } = attachment;
  const { mem, tables, attachments } = dmabuf.state;
  const t = tables.at(table.ref);
  const maps = T.maps.get(mem, t);
  if (maps > 0 && T.attachment.get(mem, t) !== attachment.ref) {
    const text = `exporter ${dmabuf.exporter.name} returned a table that is mapped through another attachment`;
    violate(dmabuf, 'table-reused', text, { step: 'dma_buf_map_attachment', attachment });
    throw new KernelError('EINVAL', 'dma_buf_map_attachment', text);
  }
  const p = attachments.at(attachment.ref);
  T.dmabuf.set(mem, t, dmabuf.ref);
  T.attachment.set(mem, t, attachment.ref);
  T.importer.set(mem, t, A.importer.get(mem, p));
  T.device.set(mem, t, A.device.get(mem, p));
  T.direction.set(mem, t, direction);
  T.ownerTask.set(mem, t, machine.tid);
  T.maps.set(mem, t, maps + 1);
  if (maps === 0) listPush(mem, tables, T, p + A.tables.at, table.ref);
}

/** Undoes {@link publish}; false when the table is not live or another attachment's. */
function unlink(attachment: Attachment, table: SgTable): boolean {
  const { mem, tables, attachments } = attachment.dmabuf.state;
  const t = tables.tryAt(table.ref);
  if (t === 0) return false;
  const maps = T.maps.get(mem, t);
  if (maps === 0 || T.attachment.get(mem, t) !== attachment.ref) return false;
  T.maps.set(mem, t, maps - 1);
  if (maps > 1) return true;
  listRemove(mem, tables, T, attachments.at(attachment.ref) + A.tables.at, table.ref);
  T.attachment.set(mem, t, 0);
  return true;
}

/** @kernel CONFIG_DMA_API_DEBUG */
function checkAlignment(attachment: Attachment, table: SgTable): void {
  const { f64 } = attachment.machine.mem;
  const { nents } = table;
  for (let i = 0, at = table.entriesAt >>> 1; i < nents; i++, at += 2) {
    if (f64[at]! % PAGE_BYTES === 0 && f64[at + 1]! % PAGE_BYTES === 0) continue;
    const { label, exporter } = attachment.dmabuf;
    attachment.machine.diag.info(
      'sg-not-aligned',
      `entry ${i} of exporter ${exporter.name} for buffer ${label} is not page aligned: ${f64[at]} + ${f64[at + 1]}`,
    );
    return;
  }
}
