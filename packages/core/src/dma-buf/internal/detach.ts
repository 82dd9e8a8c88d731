import type { Attachment } from '../attachment.ts';
import type { DmaBuf } from '../dma-buf.ts';
import { SgTableStruct as T } from '../../sg/sg-table-struct.ts';
import { violate } from '../rules.ts';
import { freeAttachment } from './attach.ts';
import { listMembers, listPush, listRemove } from './list.ts';
import { ATT_LISTED, AttachmentStruct as A, DmaBufStruct as B } from './structs.ts';

/**
 * Hides the attachment, then lets the exporter clean up, then frees it. Live mappings do not stop it, as in the kernel, but
 * are a violation: the exporter's count of mappings will never reach zero.
 * @kernel dma_buf_detach
 * @locks resv not held
 */
export function detachAttachment(dmabuf: DmaBuf, attachment: Attachment): void {
  const { machine, state } = dmabuf;
  if (attachment === null || attachment === undefined || attachment.dmabuf.ref !== dmabuf.ref) {
    machine.diag.warn('dma_buf_detach', `the attachment given is none of buffer ${dmabuf.label}`);
    return;
  }
  const { exporter } = dmabuf;
  const unlisted = dmabuf.resv.with(() => unlist(dmabuf, attachment));
  if (!unlisted) {
    violate(dmabuf, 'double-detach', 'an attachment is detached that was detached before', { step: 'dma_buf_detach' });
    return;
  }
  exporter.detach?.(dmabuf, attachment);
  const dynamic = attachment.isDynamic ? 1 : 0;
  state.trace.emit('dma_buf_detach', dmabuf.ino, attachment.ref, attachment.device.nameId, dynamic);
  freeAttachment(attachment);
}

/** Takes it off the list; false when it is on none. resv must be held. */
function unlist(dmabuf: DmaBuf, attachment: Attachment): boolean {
  const { state } = dmabuf;
  const { mem, attachments, buffers } = state;
  const p = attachments.tryAt(attachment.ref);
  if (p === 0) return false;
  const flags = A.flags.get(mem, p);
  if ((flags & ATT_LISTED) === 0) return false;
  if (A.tables.get(mem, p) !== 0 || A.pins.get(mem, p) !== 0) reportMapped(dmabuf, attachment);
  listRemove(mem, attachments, A, buffers.at(dmabuf.ref) + B.attachments.at, attachment.ref);
  A.flags.set(mem, p, flags & ~ATT_LISTED);
  return true;
}

function reportMapped(dmabuf: DmaBuf, attachment: Attachment): void {
  const { mem, attachments, buffers, tables } = dmabuf.state;
  const head = attachments.at(attachment.ref) + A.tables.at;
  let mapped = 0;
  for (const table of listMembers(mem, tables, T, head)) {
    mapped++;
    listRemove(mem, tables, T, head, table);
    listPush(mem, tables, T, buffers.at(dmabuf.ref) + B.orphans.at, table);
  }
  const { pins } = attachment;
  violate(
    dmabuf,
    'detach-while-mapped',
    `importer ${attachment.importerName} detaches ${attachment.device.name} with ${mapped} live mappings and ${pins} pins`,
    { step: 'dma_buf_detach', attachment, data: { mapped, pins, task: attachment.ownerTask } },
  );
}
