/** @kernel include/uapi/linux/vfio.h */
export const VFIO_DEVICE_FEATURE_MASK = 0xffff;
export const VFIO_DEVICE_FEATURE_GET = 1 << 16;
export const VFIO_DEVICE_FEATURE_SET = 1 << 17;
export const VFIO_DEVICE_FEATURE_PROBE = 1 << 18;

/** Features that vfio-pci knows. */
export const VFIO_DEVICE_FEATURE_PCI_VF_TOKEN = 0;
export const VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY = 3;
export const VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP = 4;
export const VFIO_DEVICE_FEATURE_LOW_POWER_EXIT = 5;
export const VFIO_DEVICE_FEATURE_DMA_BUF = 11;

/** Bytes of `struct vfio_device_feature` without its data; of the fixed part of the DMA_BUF data; of one range. */
export const FEATURE_HEADER_SIZE = 8;
export const DMA_BUF_FIXED_SIZE = 16;
export const DMA_RANGE_SIZE = 16;
