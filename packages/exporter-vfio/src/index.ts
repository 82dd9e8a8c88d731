export { type CommandRegister, VirtualConfigSpace } from './config/virtual-config-space.ts';
export {
  type DeviceInfo,
  type RegionInfo,
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_PCI_NUM_REGIONS,
  VFIO_PCI_OFFSET_SHIFT,
  VFIO_REGION_INFO_FLAG_CAPS,
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
} from './device/device-info.ts';
export { type OpenOptions } from './device/open-close.ts';
export { type VfioEvent } from './device/vfio-core.ts';
export { vfioPciDriver } from './dma-buf/exporter-ops.ts';
export { type DmaRange, type U64 } from './dma-buf/ranges.ts';
export { isRevoked, liveMappings } from './dma-buf/state.ts';
export { type DmaBufRequest, encodeDmaBufFeature, type FeatureArgument } from './feature/dma-buf-argument.ts';
export * from './feature/uapi.ts';
export { encodeIrqSet, type IrqSetArgument } from './irq/irq-set-argument.ts';
export { type IrqInfo } from './irq/irq-info.ts';
export * from './irq/uapi.ts';
export { VFIO_QUIRKS } from './quirks.ts';
export { registerVfio } from './register.ts';
export { VfioDevice } from './vfio-device.ts';
