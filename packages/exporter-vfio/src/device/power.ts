import { type ConfigSpace, ExtCapId, PowerState, SRIOV_CTRL, SriovBit } from '@dmabuf-emu/pci-iommu';
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
 * Sets the hardware's power state; a function that loses its registers in D3hot gets them back in D0. Leaves D0 only while no
 * virtual functions are enabled (the kernel's EBUSY, which its callers ignore).
 * @kernel vfio_pci_set_power_state
 * @locks vfio.memory_lock held for writing
 */
export function setPowerState(core: VfioCore, state: PowerState): void {
  core.memoryLock.assertHeldWrite('vfio_pci_set_power_state');
  const { config, reset } = core.fn;
  if (state > PowerState.D0 && hasVirtualFunctions(config)) return;
  const before = config.powerState;
  const loses = !config.keepsRegistersInD3;
  if (loses && before < PowerState.D3hot && state >= PowerState.D3hot) reset.saveState();
  config.powerState = state;
  if (loses && before >= PowerState.D3hot && state === PowerState.D0) reset.restoreState();
  core.trace('vfio_power', state);
}

/** @kernel pci_num_vf */
function hasVirtualFunctions(config: ConfigSpace): boolean {
  const at = config.extCapabilityAt(ExtCapId.SRIOV);
  return at !== 0 && (config.peek(at + SRIOV_CTRL, 2) & SriovBit.ENABLE) !== 0;
}
