import { KernelError } from '@dmabuf-emu/shm';
import { DrmCap } from './drivers.ts';
import type { OpenFile } from './open-file.ts';

/** @kernel drm_version */
export interface DrmVersion {
  readonly name: string;
  readonly desc: string;
  /** Drivers have none any more: 0. */
  readonly date: string;
  readonly version: readonly [major: number, minor: number, patch: number];
}

/** @kernel drm_version */
export function versionOf({ device }: OpenFile): DrmVersion {
  const { name, desc, version } = device.driver;
  return { name, desc, date: '0', version };
}

const CAPS = new Set<number>(Object.values(DrmCap));
/** @kernel DRM_PRIME_CAP_IMPORT, DRM_PRIME_CAP_EXPORT */
const PRIME_BOTH = 3;

/** @kernel drm_getcap @throws KernelError EOPNOTSUPP (needs a driver with mode setting), EINVAL (unknown) */
export function capOf({ device }: OpenFile, cap: number): number {
  const { modeset, syncobj, caps, name } = device.driver;
  switch (cap) {
    case DrmCap.TIMESTAMP_MONOTONIC:
      return 1;
    case DrmCap.PRIME:
      return PRIME_BOTH;
    case DrmCap.SYNCOBJ:
    case DrmCap.SYNCOBJ_TIMELINE:
      return syncobj ? 1 : 0;
    default:
      if (!modeset) throw new KernelError('EOPNOTSUPP', 'drm_getcap', `${name} has no mode setting`);
      if (!CAPS.has(cap)) throw new KernelError('EINVAL', 'drm_getcap', `there is no capability 0x${cap.toString(16)}`);
      return caps[cap] ?? 0;
  }
}
