import { PciCommand, Reg } from '@dmabuf-emu/pci-iommu';
import type { OpenDevice } from '../device/open-device.ts';
import { moveDmaBufs } from '../dma-buf/move.ts';
import { mayUnrevoke } from '../device/memory-enabled.ts';
import { barsNeedRestore, restoreBars } from './bar-registers.ts';
import { defaultWrite, type Size } from './default-handlers.ts';
import { hardwareRead } from './hardware-config.ts';
import { virtualRead, virtualWrite } from './virtual-bytes.ts';

const DECODE = PciCommand.MEMORY | PciCommand.IO;

/**
 * A write that begins at the command register. Clearing MEMORY revokes every buffer of the device before the hardware sees
 * the write; a device that has memory afterwards (a virtual function always does) gets them un-revoked.
 * @kernel vfio_basic_config_write
 * @locks takes vfio.memory_lock for writing
 * @throws KernelError of the hardware access: before it any change for the first read; afterwards the buffers stay revoked
 */
export function writeCommand(device: OpenDevice, size: Size, value: number): void {
  const { core } = device;
  const hardware = hardwareRead(core, Reg.COMMAND, size);
  const memory = (value & PciCommand.MEMORY) !== 0;
  device.writeLocked(!memory, () => {
    if (!memory) moveDmaBufs(core, true);
    if (resetBehindOurBack(device, value, hardware)) restoreBars(core);
    defaultWrite(core, Reg.COMMAND, size, value);
    core.trace('vfio_command', value & 0xffff);
    const kept = virtualRead(core, Reg.COMMAND, 2) & ~DECODE;
    virtualWrite(core, Reg.COMMAND, 2, kept | (value & DECODE));
    if (mayUnrevoke(core)) moveDmaBufs(core, false);
  });
}

/**
 * Whether the user enables what it believes to be enabled but the hardware shows disabled, or the BARs changed: the device
 * was reset by other means and must get its BARs back first.
 */
function resetBehindOurBack({ core }: OpenDevice, wanted: number, hardware: number): boolean {
  const believed = virtualRead(core, Reg.COMMAND, 2);
  const lost = wanted & believed & ~hardware;
  if ((lost & PciCommand.IO) !== 0) return true;
  if ((lost & PciCommand.MEMORY) !== 0 && !core.isVirtualFunction) return true;
  return barsNeedRestore(core);
}
