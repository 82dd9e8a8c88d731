import { KernelError } from '@dmabuf-emu/shm';
import {
  FEATURE_HEADER_SIZE,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_MASK,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
} from './uapi.ts';

const OPERATIONS = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET;
const KNOWN = VFIO_DEVICE_FEATURE_MASK | OPERATIONS | VFIO_DEVICE_FEATURE_PROBE;

/** The header of a feature's argument. */
export interface FeatureHeader {
  readonly argsz: number;
  readonly flags: number;
}

/** Checks that hold for every feature. @kernel vfio_ioctl_device_feature @throws KernelError EINVAL */
export function checkHeader({ argsz, flags }: FeatureHeader): void {
  if (argsz < FEATURE_HEADER_SIZE) throw invalid(`argsz ${argsz} is below ${FEATURE_HEADER_SIZE}`);
  if ((flags & ~KNOWN) !== 0) throw invalid(`unknown bits in flags 0x${(flags >>> 0).toString(16)}`);
  if ((flags & VFIO_DEVICE_FEATURE_PROBE) === 0 && (flags & OPERATIONS) === OPERATIONS)
    throw invalid('both GET and SET');
}

/**
 * Checks of one feature. False for a probe: the feature exists, nothing more is to be done.
 * @param supported - operations that the feature has
 * @param dataSize - least bytes of data
 * @kernel vfio_check_feature
 * @throws KernelError EINVAL
 */
export function checkFeature({ argsz, flags }: FeatureHeader, supported: number, dataSize: number): boolean {
  if ((flags & OPERATIONS & ~supported) !== 0) throw invalid('the feature does not have this operation');
  if ((flags & VFIO_DEVICE_FEATURE_PROBE) !== 0) return false;
  if ((flags & OPERATIONS) === 0) throw invalid('neither GET nor SET nor PROBE');
  const size = argsz - FEATURE_HEADER_SIZE;
  if (size < dataSize) throw invalid(`argsz leaves ${size} bytes of data, the feature has ${dataSize}`);
  return true;
}

function invalid(detail: string): KernelError {
  return new KernelError('EINVAL', 'vfio_device_feature', detail);
}
