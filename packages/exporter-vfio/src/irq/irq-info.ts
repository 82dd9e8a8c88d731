import { KernelError } from '@dmabuf-emu/shm';
import { virtualRead } from '../config/virtual-bytes.ts';
import { PCI_INTERRUPT_PIN } from '../config/registers.ts';
import type { OpenDevice } from '../device/open-device.ts';
import type { VfioCore } from '../device/vfio-core.ts';
import {
  IRQ_INFO_SIZE,
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_INFO_NORESIZE,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_REQ_IRQ_INDEX,
} from './uapi.ts';

/** @kernel vfio_irq_info */
export interface IrqInfo {
  readonly flags: number;
  /** Vectors that the device has of the kind. */
  readonly count: number;
}

/** How many interrupts of a kind a device has. @kernel vfio_pci_get_irq_count */
export function irqCount(core: VfioCore, index: number): number {
  const { interrupts, topology } = core.fn;
  switch (index) {
    case VFIO_PCI_INTX_IRQ_INDEX:
      return core.isVirtualFunction || virtualRead(core, PCI_INTERRUPT_PIN, 1) === 0 ? 0 : 1;
    case VFIO_PCI_MSI_IRQ_INDEX:
      return interrupts.count('msi');
    case VFIO_PCI_MSIX_IRQ_INDEX:
      return interrupts.count('msix');
    case VFIO_PCI_ERR_IRQ_INDEX:
      return topology.pcieType === null ? 0 : 1;
    case VFIO_PCI_REQ_IRQ_INDEX:
      return 1;
    default:
      return 0;
  }
}

/**
 * `ioctl(VFIO_DEVICE_GET_IRQ_INFO)`. Vectors of MSI-X can be added while it is enabled.
 * @kernel vfio_pci_ioctl_get_irq_info
 * @throws KernelError EINVAL for an index that is not known, or error interrupts of a conventional device
 */
export function irqInfo(device: OpenDevice, index: number, argsz: number = IRQ_INFO_SIZE): IrqInfo {
  device.check('vfio_pci_ioctl_get_irq_info');
  const { core } = device;
  const hasErrors = core.fn.topology.pcieType !== null;
  if (argsz < IRQ_INFO_SIZE || index >= VFIO_PCI_NUM_IRQS || (index === VFIO_PCI_ERR_IRQ_INDEX && !hasErrors)) {
    throw new KernelError('EINVAL', 'vfio_pci_ioctl_get_irq_info', `index ${index}, argsz ${argsz}`);
  }
  const count = irqCount(core, index);
  if (index === VFIO_PCI_INTX_IRQ_INDEX) {
    return { flags: VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED, count };
  }
  const fixed = index === VFIO_PCI_MSIX_IRQ_INDEX ? 0 : VFIO_IRQ_INFO_NORESIZE;
  return { flags: VFIO_IRQ_INFO_EVENTFD | fixed, count };
}
