import { DmaBuf } from '@dmabuf-emu/core';
import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { isKernelError, KernelError, type Machine } from '@dmabuf-emu/shm';

/** @kernel enum iommufd_ioas_map_flags */
export const IoasMap = { FIXED_IOVA: 1, WRITEABLE: 2, READABLE: 4 } as const;

const ALL_FLAGS = IoasMap.FIXED_IOVA | IoasMap.WRITEABLE | IoasMap.READABLE;
const ULONG_MAX = 2n ** 64n - 1n;
const U32_MAX = 2 ** 32 - 1;

/** What an application asks for. Numbers of 64 bits may be given as bigint. @kernel struct iommu_ioas_map_file */
export interface MapFileRequest {
  /** Bits of {@link IoasMap}. */
  readonly flags: number;
  /** A buffer, or a file descriptor of the calling task's process. */
  readonly file: DmaBuf | number;
  /** First byte of the buffer, and how many. */
  readonly start: number | bigint;
  readonly length: number | bigint;
  /** Where to map it; only with FIXED_IOVA. */
  readonly iova?: number | bigint;
}

/** A request that passed the checks; holds a reference on the buffer. */
export interface CheckedRequest {
  readonly flags: number;
  readonly dmabuf: DmaBuf;
  readonly start: number;
  readonly length: number;
  readonly iova: number;
}

/**
 * The checks that come before anything is attached.
 * @kernel iommufd_ioas_map_file
 * @throws KernelError EOPNOTSUPP, EOVERFLOW, EINVAL, EBADF
 */
export function checkMapFile(machine: Machine, request: MapFileRequest): CheckedRequest {
  const { flags } = request;
  const [start, length, iova] = [BigInt(request.start), BigInt(request.length), BigInt(request.iova ?? 0)];
  if ((flags & ~ALL_FLAGS) !== 0)
    throw refused('EOPNOTSUPP', `flags 0x${flags.toString(16)} outside 0x${ALL_FLAGS.toString(16)}`);
  if (iova >= ULONG_MAX || length >= ULONG_MAX)
    throw refused('EOVERFLOW', `iova ${iova} or length ${length} is 2^64-1 or more`);
  if ((flags & (IoasMap.WRITEABLE | IoasMap.READABLE)) === 0) throw refused('EINVAL', 'neither READABLE nor WRITEABLE');
  if (length === 0n) throw refused('EINVAL', 'length 0');
  const last = start + length - 1n;
  if (last > ULONG_MAX) throw refused('EOVERFLOW', `start ${start} and length ${length} exceed 64 bits`);
  const dmabuf = takeFile(machine, request.file);
  if (BigInt(dmabuf.size) <= last) {
    const { size } = dmabuf;
    dmabuf.put();
    throw refused('EINVAL', `byte ${last} of a buffer of ${size} bytes`);
  }
  if (Number(length) / PAGE_SIZE >= U32_MAX) {
    dmabuf.put();
    throw refused('EINVAL', `${length} bytes are too many pages`);
  }
  return { flags, dmabuf, start: Number(start), length: Number(length), iova: Number(iova) };
}

function takeFile(machine: Machine, file: DmaBuf | number): DmaBuf {
  if (typeof file !== 'number') return file.get();
  try {
    return DmaBuf.get(machine, file);
  } catch (error) {
    if (isKernelError(error, 'EINVAL')) throw refused('EBADF', `descriptor ${file} is no dma-buf`);
    throw error;
  }
}

function refused(code: 'EOPNOTSUPP' | 'EOVERFLOW' | 'EINVAL' | 'EBADF', detail: string): KernelError {
  return new KernelError(code, 'IOMMU_IOAS_MAP_FILE', detail);
}
