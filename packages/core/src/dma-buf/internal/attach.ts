import { KernelError, type Machine, orUndo } from '@dmabuf-emu/shm';
import type { Device } from '../../device/device.ts';
import { CORE_QUIRKS } from '../../quirks.ts';
import { Attachment } from '../attachment.ts';
import type { DmaBuf } from '../dma-buf.ts';
import { type Importer, registerDriver } from '../drivers.ts';
import { listPush } from './list.ts';
import {
  ATT_DYNAMIC,
  ATT_LISTED,
  ATT_PEER2PEER,
  ATT_REVOCABLE,
  AttachmentStruct as A,
  DmaBufStruct,
} from './structs.ts';

/**
 * The exporter decides first, then the attachment becomes visible.
 * @kernel dma_buf_dynamic_attach
 * @locks resv not held
 */
export function attachDevice(
  dmabuf: DmaBuf,
  device: Device,
  importer: Importer | null,
  importerPriv: number,
): Attachment {
  const { machine, state } = dmabuf;
  const { mem } = machine;
  if (device === null || device === undefined) {
    machine.diag.warn('dma_buf_dynamic_attach', 'attach without a device');
    throw new KernelError('EINVAL', 'dma_buf_dynamic_attach', 'no device was given');
  }
  if (importer !== null && importer.invalidateMappings === undefined) checkOptional(machine, importer);
  const { exporter } = dmabuf;
  const ref = state.attachments.alloc('dma_buf_dynamic_attach');
  const p = state.attachments.at(ref);
  A.dmabuf.set(mem, p, dmabuf.ref);
  A.device.set(mem, p, device.ref);
  A.importer.set(mem, p, importer === null ? 0 : registerDriver(machine, importer));
  A.importerPriv.set(mem, p, importerPriv);
  A.flags.set(mem, p, importerFlags(importer));
  A.ownerTask.set(mem, p, machine.tid);
  const attachment = new Attachment(dmabuf, ref);
  orUndo(
    () => {
      exporter.attach?.(dmabuf, attachment);
      orUndo(
        () => dmabuf.resv.lock(),
        () => exporter.detach?.(dmabuf, attachment),
      );
    },
    () => freeAttachment(attachment),
  );
  listPush(mem, state.attachments, A, state.buffers.at(dmabuf.ref) + DmaBufStruct.attachments.at, ref);
  A.flags.set(mem, p, A.flags.get(mem, p) | ATT_LISTED);
  dmabuf.resv.unlock();
  const dynamic = importer === null ? 0 : 1;
  state.trace.emit('dma_buf_dynamic_attach', dmabuf.ino, ref, device.nameId, dynamic);
  return attachment;
}

/** Frees the struct; a stale owner must not be found in it by the reaper. */
export function freeAttachment(attachment: Attachment): void {
  const { attachments, mem } = attachment.dmabuf.state;
  A.ownerTask.set(mem, attachments.at(attachment.ref), 0);
  attachments.free(attachment.ref, 'dma_buf_detach');
}

/** Refuses an importer without the callback where the kernel does. */
function checkOptional(machine: Machine, importer: Importer): void {
  if (!CORE_QUIRKS.has(machine, 'core.moveNotifyRequired')) return;
  machine.diag.warn('dma_buf_dynamic_attach', `importer ${importer.name} has no callback for moves`);
  throw new KernelError('EINVAL', 'dma_buf_dynamic_attach', `importer ${importer.name} has no callback for moves`);
}

function importerFlags(importer: Importer | null): number {
  if (importer === null) return 0;
  const p2p = importer.allowPeer2Peer ? ATT_PEER2PEER : 0;
  const revocable = importer.invalidateMappings === undefined ? 0 : ATT_REVOCABLE;
  return ATT_DYNAMIC | p2p | revocable;
}
