import { PciCommand, PowerState, Reg } from '@dmabuf-emu/pci-iommu';
import { virtualRead } from '../config/virtual-bytes.ts';
import { VFIO_QUIRKS } from '../quirks.ts';
import type { VfioCore } from './vfio-core.ts';
import { VfioStruct as V } from './vfio-struct.ts';

/**
 * Whether the user has memory of the device switched on. Virtual functions have it always; runtime power management plays no
 * part. @kernel __vfio_pci_memory_enabled
 * @locks vfio.memory_lock held, for an answer that lasts
 */
export function memoryEnabled(core: VfioCore): boolean {
  if (core.fn.config.powerState >= PowerState.D3hot) return false;
  return core.isVirtualFunction || (virtualRead(core, Reg.COMMAND, 2) & PciCommand.MEMORY) !== 0;
}

/**
 * Whether buffers may be un-revoked now. The kernel asks {@link memoryEnabled} alone and so un-revokes a device that is in low
 * power; here that takes the quirk `vfio.lowPowerUnrevoke`.
 */
export function mayUnrevoke(core: VfioCore): boolean {
  if (!memoryEnabled(core)) return false;
  return V.lowPower.load(core.machine.mem, core.p) === 0 || VFIO_QUIRKS.has(core.machine, 'vfio.lowPowerUnrevoke');
}
