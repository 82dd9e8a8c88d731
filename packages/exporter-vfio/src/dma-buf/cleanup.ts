import { completionOf } from '@dmabuf-emu/shm';
import { putRegistration } from '../device/registration.ts';
import type { VfioCore } from '../device/vfio-core.ts';
import { VFIO_QUIRKS } from '../quirks.ts';
import { unlink } from './device-list.ts';
import { VfioDmaBufStruct as D } from './dma-buf-struct.ts';
import { eachBuffer, moveDmaBufs } from './move.ts';

/**
 * The device is closed: its buffers are revoked for good and forget it. A buffer whose last reference is gone but whose
 * release is still to come keeps its place; the release removes it.
 * @kernel vfio_pci_dma_buf_cleanup
 * @locks vfio.memory_lock held for writing; takes each buffer's resv
 */
export function cleanupDmaBufs(core: VfioCore): void {
  const { machine } = core;
  eachBuffer(core, (buffer) => {
    if (!VFIO_QUIRKS.has(machine, 'vfio.krefUnderflow') || !buffer.revocable.revoked || buffer.lost) return;
    buffer.revocable.unmapped();
    completionOf(machine, buffer.p, D.drained).wait({ label: 'vfio_pci_dma_buf_cleanup' });
  });
  moveDmaBufs(core, true);
  eachBuffer(core, (buffer, dmabuf) => {
    unlink(core, buffer);
    D.device.set(machine.mem, buffer.p, 0);
    core.trace('vfio_unlink', dmabuf.ino | 0);
    putRegistration(core);
  });
}
