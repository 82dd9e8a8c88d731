import { isDecodedMemory, PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { KernelError } from '@dmabuf-emu/shm';
import { VFIO_PCI_NUM_IRQS } from '../irq/uapi.ts';
import { VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_ROM_REGION_INDEX } from './bar-io.ts';
import type { OpenDevice } from './open-device.ts';
import type { VfioCore } from './vfio-core.ts';
import { VfioStruct as V } from './vfio-struct.ts';

/** @kernel include/uapi/linux/vfio.h */
export const VFIO_DEVICE_FLAGS_RESET = 1;
export const VFIO_DEVICE_FLAGS_PCI = 2;
export const VFIO_REGION_INFO_FLAG_READ = 1;
export const VFIO_REGION_INFO_FLAG_WRITE = 2;
export const VFIO_REGION_INFO_FLAG_MMAP = 4;
export const VFIO_REGION_INFO_FLAG_CAPS = 8;
export const VFIO_PCI_NUM_REGIONS = 9;
/** Bits of a file offset that are the offset in the region. @kernel VFIO_PCI_OFFSET_SHIFT */
export const VFIO_PCI_OFFSET_SHIFT = 40;

const READ_WRITE = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;

/** @kernel vfio_device_info */
export interface DeviceInfo {
  readonly flags: number;
  readonly regions: number;
  readonly irqs: number;
}

/** @kernel vfio_region_info */
export interface RegionInfo {
  readonly flags: number;
  readonly size: number;
  /** Where the region is in the device's file. */
  readonly offset: number;
}

/** `ioctl(VFIO_DEVICE_GET_INFO)`. @kernel vfio_pci_ioctl_get_info */
export function deviceInfo(device: OpenDevice): DeviceInfo {
  device.check('vfio_pci_ioctl_get_info');
  const { machine, p } = device.core;
  const reset = V.resetWorks.load(machine.mem, p) === 0 ? 0 : VFIO_DEVICE_FLAGS_RESET;
  return { flags: VFIO_DEVICE_FLAGS_PCI | reset, regions: VFIO_PCI_NUM_REGIONS, irqs: VFIO_PCI_NUM_IRQS };
}

/**
 * `ioctl(VFIO_DEVICE_GET_REGION_INFO)`. The BAR of an MSI-X table can be mapped too, which a capability says.
 * @kernel vfio_pci_ioctl_get_region_info
 * @throws KernelError EINVAL for a region that the device cannot have
 */
export function regionInfo(device: OpenDevice, index: number): RegionInfo {
  device.check('vfio_pci_ioctl_get_region_info');
  const { core } = device;
  const offset = index * 2 ** VFIO_PCI_OFFSET_SHIFT;
  if (index === VFIO_PCI_CONFIG_REGION_INDEX) return { flags: READ_WRITE, size: core.model.size, offset };
  if (index === VFIO_PCI_ROM_REGION_INDEX) {
    const size = core.fn.topology.description.rom?.size ?? 0;
    return { flags: size === 0 ? 0 : VFIO_REGION_INFO_FLAG_READ, size, offset };
  }
  if (!Number.isInteger(index) || index < 0 || index > VFIO_PCI_ROM_REGION_INDEX) {
    throw new KernelError('EINVAL', 'vfio_pci_ioctl_get_region_info', `region ${index} of ${core.fn.bdf}`);
  }
  const bar = core.bar(index);
  if (bar === undefined || bar.start === 0) return { flags: 0, size: 0, offset };
  const mapped = canMap(core, index) ? VFIO_REGION_INFO_FLAG_MMAP : 0;
  const caps = mapped !== 0 && hasMessageTable(core, index) ? VFIO_REGION_INFO_FLAG_CAPS : 0;
  return { flags: READ_WRITE | mapped | caps, size: bar.size, offset };
}

/** A BAR below a page can be mapped when nothing else is in its page. @kernel vfio_pci_probe_mmaps */
function canMap(core: VfioCore, index: number): boolean {
  const bar = core.bar(index);
  if (bar === undefined || !isDecodedMemory(bar) || core.fn.topology.description.nonMappableBars === true) return false;
  return bar.size >= PAGE_SIZE || bar.start % PAGE_SIZE === 0;
}

function hasMessageTable({ fn }: VfioCore, index: number): boolean {
  const bar = fn.bar(index);
  const table = fn.interrupts.source.msix?.start;
  return bar !== undefined && table !== undefined && table >= bar.start && table < bar.start + bar.size;
}
