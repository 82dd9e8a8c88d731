import { DmaBuf } from '@dmabuf-emu/core';
import { PciSystem } from '@dmabuf-emu/pci-iommu';
import { completionOf, isKernelError, orUndo } from '@dmabuf-emu/shm';
import type { VfioCore } from '../device/vfio-core.ts';
import { VFIO_QUIRKS } from '../quirks.ts';
import { listed } from './device-list.ts';
import { VfioDmaBufStruct as D } from './dma-buf-struct.ts';
import type { ExportedBuffer } from './exported-buffer.ts';

/**
 * Revokes or un-revokes all buffers of a device; those that are so already are left alone. A revoke returns when nobody uses
 * any of them: every fence has signalled and every mapping is undone.
 * @kernel vfio_pci_dma_buf_move
 * @locks vfio.memory_lock held for writing; takes each buffer's resv
 * @throws UsageError when an importer of a buffer is not registered in this thread
 */
export function moveDmaBufs(core: VfioCore, revoked: boolean): void {
  core.memoryLock.assertHeldWrite('vfio_pci_dma_buf_move');
  eachBuffer(core, (buffer, dmabuf) => moveDmaBuf(core, buffer, dmabuf, revoked));
}

/**
 * Runs `fn` for each buffer of the device that still has users, with a reference held.
 * @locks vfio.memory_lock held for writing
 */
export function eachBuffer(core: VfioCore, fn: (buffer: ExportedBuffer, dmabuf: DmaBuf) => void): void {
  for (const buffer of listed(core)) {
    const dmabuf = DmaBuf.of(core.machine, D.dmabuf.get(core.machine.mem, buffer.p));
    if (!dmabuf.tryGet()) continue;
    const { file } = dmabuf;
    orUndo(
      () => fn(buffer, dmabuf),
      () => file.put(),
    );
    file.put();
  }
}

function moveDmaBuf(core: VfioCore, buffer: ExportedBuffer, dmabuf: DmaBuf, revoked: boolean): void {
  const { revocable } = buffer;
  if (buffer.lost || revocable.revoked === revoked) return;
  core.trace(revoked ? 'vfio_revoke' : 'vfio_unrevoke', dmabuf.ino | 0);
  try {
    if (revoked) revoke(buffer, dmabuf);
    else unrevoke(buffer, dmabuf);
  } catch (error) {
    if (!isKernelError(error, 'EOWNERDEAD')) throw error;
    lose(buffer, dmabuf, error.message);
  }
}

function revoke(buffer: ExportedBuffer, dmabuf: DmaBuf): void {
  const { machine } = buffer;
  const pci = PciSystem.of(machine);
  buffer.revocable.revoke(dmabuf, {
    onRevoked: () => void pci.grantInvalidate(dmabuf.ref),
    onFencesRetired: () => void pci.grantRetire(dmabuf.ref),
  });
  if (VFIO_QUIRKS.has(machine, 'vfio.krefUnderflow')) disarm(buffer);
}

function unrevoke(buffer: ExportedBuffer, dmabuf: DmaBuf): void {
  if (VFIO_QUIRKS.has(buffer.machine, 'vfio.krefUnderflow')) buffer.revocable.rearm();
  buffer.revocable.unrevoke(dmabuf);
}

/** The count as a revoke left it before it re-armed it: 0, the completion consumed. */
function disarm(buffer: ExportedBuffer): void {
  D.mapCount.store(buffer.machine.mem, buffer.p, 0);
  completionOf(buffer.machine, buffer.p, D.drained).reinit();
}

/**
 * A task died with the buffer's lock, or with mappings that nobody can undo: there is no telling when the memory is unused, so
 * the buffer stays revoked for good and the device goes on without it.
 */
function lose(buffer: ExportedBuffer, dmabuf: DmaBuf, reason: string): void {
  const { machine, p } = buffer;
  D.revoked.store(machine.mem, p, 1);
  D.lost.store(machine.mem, p, 1);
  machine.diag.info('vfio-buffer-lost', `buffer ${dmabuf.label} can be neither revoked nor given out again: ${reason}`);
}
