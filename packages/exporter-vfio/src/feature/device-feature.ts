import { KernelError } from '@dmabuf-emu/shm';
import { enterLowPower, exitLowPower } from '../device/low-power.ts';
import type { OpenDevice } from '../device/open-device.ts';
import { hasToken, setToken, UUID_BYTES } from '../device/vf-token.ts';
import { VfioStruct as V } from '../device/vfio-struct.ts';
import { exportDmaBuf } from '../dma-buf/export.ts';
import { installFd } from '../dma-buf/install-fd.ts';
import { checkFeature, checkHeader, type FeatureHeader } from './check-feature.ts';
import { decodeDmaBufFeature, readable } from './dma-buf-argument.ts';
import {
  DMA_BUF_FIXED_SIZE,
  FEATURE_HEADER_SIZE,
  VFIO_DEVICE_FEATURE_DMA_BUF,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
  VFIO_DEVICE_FEATURE_MASK,
  VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
  VFIO_DEVICE_FEATURE_SET,
} from './uapi.ts';

/**
 * `ioctl(VFIO_DEVICE_FEATURE)` with the bytes that a program passes. Returns what the ioctl returns: 0, or a descriptor.
 * @kernel vfio_ioctl_device_feature
 * @throws KernelError EFAULT, EINVAL, ENOTTY (unknown feature), and what the feature throws
 */
export function deviceFeature(device: OpenDevice, bytes: Uint8Array): number {
  device.check('vfio_ioctl_device_feature');
  const view = readable(bytes, 0, 8);
  const header = { argsz: view.getUint32(0, true), flags: view.getUint32(4, true) };
  checkHeader(header);
  switch (header.flags & VFIO_DEVICE_FEATURE_MASK) {
    case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY:
      if (checkFeature(header, VFIO_DEVICE_FEATURE_SET, 0)) enterLowPower(device);
      return 0;
    case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP:
      return enterWithWakeup(header, bytes);
    case VFIO_DEVICE_FEATURE_LOW_POWER_EXIT:
      if (checkFeature(header, VFIO_DEVICE_FEATURE_SET, 0)) exitLowPower(device);
      return 0;
    case VFIO_DEVICE_FEATURE_PCI_VF_TOKEN:
      return takeToken(device, header, bytes);
    case VFIO_DEVICE_FEATURE_DMA_BUF:
      return exportFd(device, header, bytes);
    default:
      throw new KernelError(
        'ENOTTY',
        'vfio_pci_core_ioctl_feature',
        `feature ${header.flags & VFIO_DEVICE_FEATURE_MASK}`,
      );
  }
}

/** @kernel vfio_pci_core_feature_token */
function takeToken({ core }: OpenDevice, header: FeatureHeader, bytes: Uint8Array): number {
  if (!hasToken(core)) throw new KernelError('ENOTTY', 'vfio_pci_core_feature_token', `${core.fn.bdf} has no token`);
  if (!checkFeature(header, VFIO_DEVICE_FEATURE_SET, UUID_BYTES)) return 0;
  const data = readable(bytes, FEATURE_HEADER_SIZE, UUID_BYTES);
  setToken(core, new Uint8Array(data.buffer, data.byteOffset, UUID_BYTES));
  return 0;
}

/** @kernel vfio_pci_core_feature_dma_buf */
function exportFd(device: OpenDevice, header: FeatureHeader, bytes: Uint8Array): number {
  const { machine, p } = device.core;
  if (V.exports.get(machine.mem, p) === 0) {
    throw new KernelError('EOPNOTSUPP', 'vfio_pci_core_feature_dma_buf', 'this driver cannot export its BARs');
  }
  if (!checkFeature(header, VFIO_DEVICE_FEATURE_GET, DMA_BUF_FIXED_SIZE)) return 0;
  const request = decodeDmaBufFeature(bytes);
  return installFd(exportDmaBuf(device, request), request.openFlags);
}

/** No eventfd exists in this machine, so none can be named. @kernel vfio_pci_core_pm_entry_with_wakeup */
function enterWithWakeup(header: FeatureHeader, bytes: Uint8Array): number {
  if (!checkFeature(header, VFIO_DEVICE_FEATURE_SET, 8)) return 0;
  const fd = readable(bytes, 8, 8).getInt32(0, true);
  throw new KernelError('EBADF', 'eventfd_ctx_fdget', `descriptor ${fd} is no eventfd`);
}
