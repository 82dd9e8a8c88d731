import { KernelBug, TaskKilled } from '@dmabuf-emu/shm';
import { Attachment } from '../attachment.ts';
import type { DmaBuf } from '../dma-buf.ts';
import { type Importer, importerOf } from '../drivers.ts';
import { violate } from '../rules.ts';
import { listMembers } from './list.ts';
import { requireResv } from './require-resv.ts';
import { ATT_REVOCABLE, AttachmentStruct as A, DmaBufStruct as B } from './structs.ts';

/**
 * Tells every importer that can be told, newest attachment first, that its mappings are stale.
 * @kernel dma_buf_invalidate_mappings
 * @locks resv held
 */
export function invalidateMappings(dmabuf: DmaBuf): void {
  const { state } = dmabuf;
  requireResv(dmabuf, 'dma_buf_invalidate_mappings');
  for (const { attachment, importer, id } of told(dmabuf)) {
    state.trace.emit('dma_buf_invalidate_mappings', dmabuf.ino, attachment.ref, id);
    try {
      importer.invalidateMappings!(attachment);
    } catch (error) {
      if (error instanceof TaskKilled || error instanceof KernelBug) throw error;
      const text = `importer ${importer.name} threw in invalidateMappings: ${String(error)}`;
      violate(dmabuf, 'invalidate-threw', text, { step: 'dma_buf_invalidate_mappings', importer: importer.name });
    }
  }
}

/** Importers that {@link invalidateMappings} calls. All must be registered in this thread before the first one is called. */
function told(dmabuf: DmaBuf): { attachment: Attachment; importer: Importer; id: number }[] {
  const { mem, attachments, buffers, machine } = dmabuf.state;
  const found = [];
  for (const ref of listMembers(mem, attachments, A, buffers.at(dmabuf.ref) + B.attachments.at)) {
    const p = attachments.at(ref);
    if ((A.flags.get(mem, p) & ATT_REVOCABLE) === 0) continue;
    const id = A.importer.get(mem, p);
    found.push({ attachment: new Attachment(dmabuf, ref), importer: importerOf(machine, id), id });
  }
  return found;
}

/** Throws, while nothing is changed, when {@link invalidateMappings} could not call every importer. @locks resv held */
export function checkImporters(dmabuf: DmaBuf): void {
  told(dmabuf);
}
