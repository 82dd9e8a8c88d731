import { PowerState } from '@dmabuf-emu/pci-iommu';
import { moveDmaBufs } from '../dma-buf/move.ts';
import { mayUnrevoke } from './memory-enabled.ts';
import type { OpenDevice } from './open-device.ts';
import type { VfioCore } from './vfio-core.ts';

/**
 * A write of the power state. D3hot takes the memory away and so revokes first.
 * @kernel vfio_lock_and_set_power_state
 * @locks takes vfio.memory_lock for writing
 */
export function lockAndSetPowerState(device: OpenDevice, state: number): void {
  const { core } = device;
  const deep = state >= PowerState.D3hot;
  device.writeLocked(deep, () => {
    if (deep) moveDmaBufs(core, true);
    setPowerState(core, state as PowerState);
    if (mayUnrevoke(core)) moveDmaBufs(core, false);
  });
}

/**
 * Sets the hardware's power state; a function that loses its registers in D3hot gets them back in D0. Does nothing (the kernel's EBUSY, which its callers ignore) while virtual functions are
 * enabled. @kernel vfio_pci_set_power_state
 * @locks vfio.memory_lock held for writing
 */
export function setPowerState(core: VfioCore, state: PowerState): void {
  core.memoryLock.assertHeldWrite('vfio_pci_set_power_state');
  const { sriov } = core.fn.topology.description;
  if (state > PowerState.D0 && sriov !== undefined && sriov.numVfs > 0) return;
  const { config, reset } = core.fn;
  const before = config.powerState;
  const loses = !config.keepsRegistersInD3;
  if (loses && before < PowerState.D3hot && state >= PowerState.D3hot) reset.saveState();
  config.powerState = state;
  if (loses && before >= PowerState.D3hot && state === PowerState.D0) reset.restoreState();
  core.trace('vfio_power', state);
}
