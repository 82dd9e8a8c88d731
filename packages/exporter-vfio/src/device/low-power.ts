import { KernelError } from '@dmabuf-emu/shm';
import { moveDmaBufs } from '../dma-buf/move.ts';
import { mayUnrevoke } from './memory-enabled.ts';
import type { OpenDevice } from './open-device.ts';
import { VfioStruct as V } from './vfio-struct.ts';

/**
 * The user lets the device sleep: its buffers are revoked until it leaves low power.
 * @kernel vfio_pci_runtime_pm_entry
 * @locks takes vfio.memory_lock for writing
 * @throws KernelError EINVAL when it is in low power already; the buffers are revoked even so
 */
export function enterLowPower(device: OpenDevice): void {
  const { core } = device;
  device.writeLocked(true, () => {
    moveDmaBufs(core, true);
    if (V.lowPower.exchange(core.machine.mem, core.p, 1) === 0) return;
    throw new KernelError('EINVAL', 'vfio_pci_runtime_pm_entry', `${core.fn.bdf} is in low power already`);
  });
}

/** The user wants the device back; without a preceding entry this only un-revokes. @kernel vfio_pci_core_pm_exit */
export function exitLowPower(device: OpenDevice): void {
  const { core } = device;
  device.writeLocked(false, () => {
    V.lowPower.store(core.machine.mem, core.p, 0);
    if (mayUnrevoke(core)) moveDmaBufs(core, false);
  });
}
