import type { Attachment } from '../attachment.ts';
import { violate } from '../rules.ts';
import { requireResv } from './require-resv.ts';
import { AttachmentStruct as A } from './structs.ts';

/** @kernel dma_buf_pin @locks resv held */
export function pinAttachment(attachment: Attachment): void {
  const { machine, dmabuf } = attachment;
  const p = attachment.at('dma_buf_pin');
  if (!attachment.isDynamic) {
    machine.diag.warn('dma_buf_pin', `a static importer pins buffer ${dmabuf.label}; mapping pins it already`);
  }
  requireResv(dmabuf, 'dma_buf_pin', attachment);
  dmabuf.exporter.pin?.(attachment);
  A.pins.set(machine.mem, p, A.pins.get(machine.mem, p) + 1);
  dmabuf.state.trace.emit('dma_buf_pin', dmabuf.ino, attachment.ref);
}

/** The kernel leaves balancing to the caller; an unpin too many is a violation here and does nothing. @kernel dma_buf_unpin @locks resv held */
export function unpinAttachment(attachment: Attachment): void {
  const { machine, dmabuf } = attachment;
  const p = attachment.at('dma_buf_unpin');
  if (!attachment.isDynamic) {
    machine.diag.warn('dma_buf_unpin', `a static importer unpins buffer ${dmabuf.label}`);
  }
  requireResv(dmabuf, 'dma_buf_unpin', attachment);
  const pins = A.pins.get(machine.mem, p);
  if (pins === 0) {
    violate(dmabuf, 'double-unpin', `importer ${attachment.importerName} unpins what it has not pinned`, {
      step: 'dma_buf_unpin',
      attachment,
    });
    return;
  }
  A.pins.set(machine.mem, p, pins - 1);
  dmabuf.exporter.unpin?.(attachment);
  dmabuf.state.trace.emit('dma_buf_unpin', dmabuf.ino, attachment.ref);
}
