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
import { putRegistration } from '../device/registration.ts';
import { VfioCore } from '../device/vfio-core.ts';
import { unlink } from './device-list.ts';
import { VfioDmaBufStruct as D } from './dma-buf-struct.ts';
import { ExportedBuffer } from './exported-buffer.ts';

/** The exporter's operations. Every thread that attaches, maps, unmaps or puts a buffer must register it. @kernel vfio_pci_dmabuf_ops */
export const vfioPciDriver: Exporter = defineExporter({ name: 'vfio-pci', attach, map, unmap, release });

/**
 * Refuses importers that cannot reach a BAR or cannot be told to let go. The test for revoked is a courtesy: it takes no lock,
 * and the map that follows decides.
 * @kernel vfio_pci_dma_buf_attach
 */
function attach(dmabuf: DmaBuf, attachment: Attachment): void {
  const refuse = (code: 'EOPNOTSUPP' | 'ENODEV', why: string): KernelError =>
    new KernelError(code, 'vfio_pci_dma_buf_attach', `${dmabuf.label}: ${why}`);
  if (!attachment.peer2peer)
    throw refuse('EOPNOTSUPP', `importer ${attachment.importerName} cannot do peer-to-peer DMA`);
  if (ExportedBuffer.of(dmabuf).revocable.revoked) throw refuse('ENODEV', 'the buffer is revoked');
  if (!attachment.isRevocable()) throw refuse('EOPNOTSUPP', `importer ${attachment.importerName} cannot be revoked`);
}

/** @kernel vfio_pci_dma_buf_map @locks resv held */
function map(attachment: Attachment, direction: DmaDirection): SgTable {
  const { dmabuf, machine } = attachment;
  dmabuf.resv.assertHeld('vfio_pci_dma_buf_map');
  const buffer = ExportedBuffer.of(dmabuf);
  const { core, revocable } = buffer;
  if (revocable.revoked || core === undefined) {
    throw new KernelError('ENODEV', 'vfio_pci_dma_buf_map', `${dmabuf.label} is revoked`);
  }
  const provider = PciSystem.of(machine).p2p.provider(core.fn.topology, buffer.bar)!;
  const { start } = provider.bar;
  const ranges = buffer.ranges().map(({ offset, length }) => ({ paddr: start + offset, len: length }));
  const table = physVecToSgt(attachment, provider, ranges, buffer.size, direction);
  revocable.mapped();
  return table;
}

/** @kernel vfio_pci_dma_buf_unmap @locks resv held */
function unmap(attachment: Attachment, table: SgTable, direction: DmaDirection): void {
  attachment.dmabuf.resv.assertHeld('vfio_pci_dma_buf_unmap');
  freeSgt(attachment, table, direction);
  ExportedBuffer.of(attachment.dmabuf).revocable.unmapped();
}

/** Runs without locks, long after the device was closed if need be. @kernel vfio_pci_dma_buf_release @locks takes vfio.memory_lock */
function release(dmabuf: DmaBuf): void {
  const buffer = ExportedBuffer.of(dmabuf);
  const { core } = buffer;
  if (core !== undefined && !forget(core, buffer, dmabuf)) return;
  buffer.free();
}

/** Takes the buffer off its device's list; false when the list died with a task, and the buffer must stay where it is. */
function forget(core: VfioCore, buffer: ExportedBuffer, dmabuf: DmaBuf): boolean {
  try {
    if (D.listed.get(core.machine.mem, buffer.p) !== 0) core.memoryLock.write(() => unlink(core, buffer));
    putRegistration(core);
    return true;
  } catch (error) {
    if (!isKernelError(error, 'EOWNERDEAD')) throw error;
    D.lost.store(core.machine.mem, buffer.p, 1);
    putRegistration(core);
    core.machine.diag.info('vfio-buffer-lost', `buffer ${dmabuf.label} stays on its device's list: ${error.message}`);
    return false;
  }
}
