import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { KernelError, type Machine } from '@dmabuf-emu/shm';
import type { OpenFile } from '../device/open-file.ts';
import { DRM_QUIRKS } from '../quirks.ts';
import { GemObject } from './gem-object.ts';
import { createHandle } from './handle.ts';
import { putAfter, withObject } from './lookup.ts';
import { rangeOffset } from './vma-range.ts';

/** MODE_CREATE_DUMB: 32-bit numbers without a sign. @kernel drm_mode_create_dumb */
export interface DumbRequest {
  readonly width: number;
  readonly height: number;
  readonly bpp: number;
  /** Not looked at. */
  readonly flags?: number;
}

/** What became of it. Bytes. */
export interface DumbBuffer {
  readonly handle: number;
  readonly pitch: number;
  readonly size: number;
}

const U32_MAX = 0xffff_ffff;
const CALL = 'drm_mode_create_dumb';

/** @kernel drm_mode_create_dumb_ioctl @throws KernelError EACCES, EINVAL, ENOSPC, ENOMEM */
export function createDumb(file: OpenFile, request: DumbRequest): DumbBuffer {
  file.refuseRender(CALL);
  const { device } = file;
  checkSize(request);
  const { dumbBpp } = device.driver;
  if (dumbBpp !== undefined && request.bpp !== dumbBpp) refuse(request);
  const { pitch, size } = sizeOf(file.machine, request);
  const gem = GemObject.create(device, size);
  const handle = putAfter(gem, () => device.objectNameLock.with(() => createHandle(file, gem)));
  return { handle, pitch, size };
}

/** MODE_MAP_DUMB: the offset to mmap the object at. @kernel drm_mode_mmap_dumb_ioctl @throws KernelError EACCES, ENOENT, EINVAL for an import */
export function mapDumb(file: OpenFile, handle: number): number {
  const call = 'drm_gem_dumb_map_offset';
  file.refuseRender(call);
  return withObject(file, handle, call, (gem) => {
    if (gem.imported !== null) throw new KernelError('EINVAL', call, `handle ${handle} is an imported object`);
    return rangeOffset(file.machine, gem.ref);
  });
}

/** The sizes that no driver is asked about. @kernel drm_mode_create_dumb */
function checkSize(request: DumbRequest): void {
  const { width, height, bpp } = request;
  if (width === 0 || height === 0 || bpp === 0 || bpp > U32_MAX - 8) refuse(request);
  const stride = Math.ceil(bpp / 8) * width;
  if (stride > U32_MAX || stride * height > U32_MAX || pageUp32(stride * height) === 0) refuse(request);
}

/** @kernel drm_mode_size_dumb */
function sizeOf(machine: Machine, request: DumbRequest): { pitch: number; size: number } {
  const { width, height, bpp } = request;
  if (DRM_QUIRKS.has(machine, 'drm.dumbPitchWraps')) {
    const pitch = ((Math.imul(width, bpp) + 7) >>> 0) >>> 3;
    return { pitch, size: pageUp32(Math.imul(pitch, height) >>> 0) };
  }
  const isPacked = bpp === 1 || bpp === 2 || bpp === 4;
  const pitch = isPacked ? Math.ceil((width * bpp) / 8) : width * Math.ceil(bpp / 8);
  const size = pageUp32(pitch * height);
  if (pitch * height > U32_MAX || size === 0) refuse(request);
  return { pitch, size };
}

/** In 32 bits: the last page wraps to 0. */
function pageUp32(bytes: number): number {
  return (Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE) % 2 ** 32;
}

function refuse({ width, height, bpp }: DumbRequest): never {
  throw new KernelError('EINVAL', CALL, `${width} x ${height} pixels of ${bpp} bits`);
}
