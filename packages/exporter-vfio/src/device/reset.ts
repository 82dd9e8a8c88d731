import { PowerState } from '@dmabuf-emu/pci-iommu';
import { isKernelError, KernelError } from '@dmabuf-emu/shm';
import { moveDmaBufs } from '../dma-buf/move.ts';
import { VFIO_QUIRKS } from '../quirks.ts';
import { mayUnrevoke } from './memory-enabled.ts';
import type { OpenDevice } from './open-device.ts';
import { setPowerState } from './power.ts';
import type { VfioCore } from './vfio-core.ts';
import { VfioStruct as V } from './vfio-struct.ts';

/**
 * The user set a function level reset bit. Errors of the reset are the hardware's secret: the config write succeeds.
 * @kernel vfio_exp_config_write, vfio_af_config_write
 * @locks takes vfio.memory_lock for writing
 */
export function functionLevelReset(device: OpenDevice): void {
  const { core } = device;
  device.writeLocked(true, () => {
    moveDmaBufs(core, true);
    tryReset(core);
    if (mayUnrevoke(core)) moveDmaBufs(core, VFIO_QUIRKS.has(core.machine, 'vfio.flrNoUnrevoke'));
  });
}

/**
 * Resets the function for the user, who gets the buffers back even if that failed.
 * @kernel vfio_pci_ioctl_reset
 * @locks takes vfio.memory_lock for writing
 * @throws KernelError EINVAL when the function cannot be reset, before anything happened; what the reset throws (EAGAIN, ENOTTY)
 */
export function resetDevice(device: OpenDevice): void {
  const { core } = device;
  device.check('vfio_pci_ioctl_reset');
  if (V.resetWorks.load(core.machine.mem, core.p) === 0) {
    throw new KernelError('EINVAL', 'vfio_pci_ioctl_reset', `${core.fn.bdf} cannot be reset`);
  }
  const failure = device.writeLocked(true, () => {
    setPowerState(core, PowerState.D0);
    moveDmaBufs(core, true);
    const result = tryReset(core);
    if (mayUnrevoke(core)) moveDmaBufs(core, false);
    return result;
  });
  if (failure !== undefined) throw failure;
}

/** Resets the function; returns the error when that did not work. @kernel pci_try_reset_function */
export function tryReset(core: VfioCore): KernelError | undefined {
  try {
    core.fn.reset.tryReset();
    core.trace('vfio_reset', 1);
    return undefined;
  } catch (error) {
    if (!isKernelError(error)) throw error;
    core.trace('vfio_reset', 0);
    return error;
  }
}
