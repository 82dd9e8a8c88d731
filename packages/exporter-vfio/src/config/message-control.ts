import { CapId, MSI_FLAGS, MsiFlag } from '@dmabuf-emu/pci-iommu';
import type { VfioCore } from '../device/vfio-core.ts';
import { VfioStruct as V } from '../device/vfio-struct.ts';
import { VFIO_PCI_MSI_IRQ_INDEX } from '../irq/uapi.ts';
import { hardwareWrite } from './hardware-config.ts';
import { virtualRead, virtualWrite } from './virtual-bytes.ts';

/**
 * The user wrote to the MSI capability: it can neither enable MSI, which an ioctl does, nor more vectors than that did.
 * @kernel vfio_msi_config_write
 * @throws KernelError of the hardware access
 */
export function finishMessageControl(core: VfioCore, at: number, size: number): void {
  const { mem } = core.machine;
  const control = core.model.capabilityAt(CapId.MSI) + MSI_FLAGS;
  if (at > control || at + size <= control) return;
  let flags = virtualRead(core, control, 2);
  if (V.irqIndex.load(mem, core.p) !== VFIO_PCI_MSI_IRQ_INDEX + 1) flags &= ~MsiFlag.ENABLE;
  const most = V.msiQmax.load(mem, core.p);
  if ((flags & MsiFlag.ENABLED) >>> 4 > most) flags = (flags & ~MsiFlag.ENABLED) | (most << 4);
  virtualWrite(core, control, 2, flags);
  hardwareWrite(core, control, 2, flags);
}
