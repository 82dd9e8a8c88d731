import {
  type Attachment,
  defineExporter,
  type DmaBuf,
  type DmaDirection,
  type Exporter,
  type SgTable,
} from '@dmabuf-emu/core';
import { freeSgt, PciSystem, physVecToSgt } from '@dmabuf-emu/pci-iommu';
import { isKernelError, KernelError } from '@dmabuf-emu/shm';
import { RdmaDmaBufStruct as D } from './dma-buf-struct.ts';
import { ExportedBuffer } from './exported-buffer.ts';
import { destroyObject } from './revoke.ts';

/** What the buffers say their exporter is. */
export const EXP_NAME = 'ib_uverbs';

/**
 * The exporter's operations. Every thread that attaches, maps, unmaps or puts a buffer must register it.
 * @kernel uverbs_dmabuf_ops
 */
export const rdmaDriver: Exporter = defineExporter({ name: 'rdma', attach, pin, unpin, map, unmap, release });

/** @kernel uverbs_dmabuf_attach */
function attach(dmabuf: DmaBuf, attachment: Attachment): void {
  if (attachment.peer2peer) return;
  const who = `importer ${attachment.importerName}`;
  throw new KernelError('EOPNOTSUPP', 'uverbs_dmabuf_attach', `${dmabuf.label}: ${who} cannot do peer-to-peer DMA`);
}

/** Pinned importers could not be made to let go in time. @kernel uverbs_dmabuf_pin */
function pin({ dmabuf }: Attachment): void {
  throw new KernelError('EOPNOTSUPP', 'uverbs_dmabuf_pin', `${dmabuf.label} cannot be pinned`);
}

function unpin(): void {}

/** @kernel uverbs_dmabuf_map @locks resv held */
function map(attachment: Attachment, direction: DmaDirection): SgTable {
  const { dmabuf, machine } = attachment;
  dmabuf.resv.assertHeld('uverbs_dmabuf_map');
  const { revocable, core, p } = ExportedBuffer.of(dmabuf);
  if (revocable.revoked) throw new KernelError('ENODEV', 'uverbs_dmabuf_map', `${dmabuf.label} is revoked`);
  const provider = PciSystem.of(machine).p2p.provider(core.fn.topology, D.bar.get(machine.mem, p));
  const len = D.length.get(machine.mem, p);
  const table = physVecToSgt(attachment, provider, [{ paddr: D.paddr.get(machine.mem, p), len }], len, direction);
  revocable.mapped();
  return table;
}

/** @kernel uverbs_dmabuf_unmap @locks resv held */
function unmap(attachment: Attachment, table: SgTable, direction: DmaDirection): void {
  attachment.dmabuf.resv.assertHeld('uverbs_dmabuf_unmap');
  freeSgt(attachment, table, direction);
  ExportedBuffer.of(attachment.dmabuf).revocable.unmapped();
}

/** Destroys the object with its last reference, unless its export was aborted. @kernel uverbs_dmabuf_release @locks takes dmabufs_lock, resv */
function release(dmabuf: DmaBuf): void {
  const { machine } = dmabuf;
  const buffer = ExportedBuffer.of(dmabuf);
  let reason = 'its object was left half destroyed';
  try {
    if (D.entry.get(machine.mem, buffer.p) !== 0) destroyObject(buffer);
  } catch (error) {
    if (!isKernelError(error, 'EOWNERDEAD')) throw error;
    reason = error.message;
  }
  if (D.entry.get(machine.mem, buffer.p) === 0) machine.slab(D).free(buffer.ref, 'uverbs_dmabuf_release');
  else buffer.lose(dmabuf, reason);
}
