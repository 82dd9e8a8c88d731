import { KernelError } from '@dmabuf-emu/shm';
import { type DmaRange, toU64 } from '../dma-buf/ranges.ts';
import {
  DMA_BUF_FIXED_SIZE,
  DMA_RANGE_SIZE,
  FEATURE_HEADER_SIZE,
  VFIO_DEVICE_FEATURE_DMA_BUF,
  VFIO_DEVICE_FEATURE_GET,
} from './uapi.ts';

/** The argument of the DMA_BUF feature. @kernel vfio_device_feature_dma_buf */
export interface DmaBufRequest {
  /** Index of the BAR. */
  readonly region: number;
  /** Parts of the BAR, in the buffer's order; may overlap. */
  readonly ranges: readonly DmaRange[];
  /** Open flags of the buffer and of its descriptor: access mode and O_CLOEXEC. */
  readonly openFlags?: number;
  /** Must be 0. */
  readonly flags?: number;
}

/** The argument of `ioctl(VFIO_DEVICE_FEATURE)` in the form that a program passes it. @kernel vfio_device_feature */
export interface FeatureArgument extends DmaBufRequest {
  /** Size that the caller claims; the true one when left out. */
  readonly argsz?: number;
  /** Feature and operation; GET of DMA_BUF when left out. */
  readonly featureFlags?: number;
}

/** The bytes of that argument. */
export function encodeDmaBufFeature(argument: FeatureArgument): Uint8Array {
  const { region, ranges, openFlags = 0, flags = 0, featureFlags } = argument;
  const size = FEATURE_HEADER_SIZE + DMA_BUF_FIXED_SIZE + ranges.length * DMA_RANGE_SIZE;
  const view = new DataView(new ArrayBuffer(size));
  const header = [argument.argsz ?? size, featureFlags ?? VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF];
  [...header, region, openFlags, flags, ranges.length].forEach((value, i) => view.setUint32(i * 4, value, true));
  ranges.forEach(({ offset, length }, i) => {
    const at = FEATURE_HEADER_SIZE + DMA_BUF_FIXED_SIZE + i * DMA_RANGE_SIZE;
    view.setBigUint64(at, toU64(offset, `offset of range ${i}`), true);
    view.setBigUint64(at + 8, toU64(length, `length of range ${i}`), true);
  });
  return new Uint8Array(view.buffer);
}

/** The fixed part of the data, and how to read the ranges behind it. */
export interface DecodedRequest {
  readonly region: number;
  readonly openFlags: number;
  readonly flags: number;
  readonly count: number;
  /** @throws KernelError EFAULT when the bytes end before the last range */
  readonly ranges: () => DmaRange[];
}

/** @throws KernelError EFAULT when the bytes end inside the fixed part */
export function decodeDmaBufFeature(bytes: Uint8Array): DecodedRequest {
  const data = readable(bytes, FEATURE_HEADER_SIZE, DMA_BUF_FIXED_SIZE);
  const count = data.getUint32(12, true);
  return {
    region: data.getUint32(0, true),
    openFlags: data.getUint32(4, true),
    flags: data.getUint32(8, true),
    count,
    ranges: () => {
      const view = readable(bytes, FEATURE_HEADER_SIZE + DMA_BUF_FIXED_SIZE, count * DMA_RANGE_SIZE);
      return Array.from({ length: count }, (_, i) => ({
        offset: view.getBigUint64(i * DMA_RANGE_SIZE, true),
        length: view.getBigUint64(i * DMA_RANGE_SIZE + 8, true),
      }));
    },
  };
}

/** A view of `length` bytes of a user's buffer. @kernel copy_from_user @throws KernelError EFAULT when it is shorter */
export function readable(bytes: Uint8Array, at: number, length: number): DataView {
  if (at + length > bytes.length) {
    throw new KernelError('EFAULT', 'copy_from_user', `${length} bytes at ${at} of an argument of ${bytes.length}`);
  }
  return new DataView(bytes.buffer, bytes.byteOffset + at, length);
}
