import { KernelError } from '@dmabuf-emu/shm';
import { IoasMap } from './map-file-request.ts';

const ALL_FLAGS = IoasMap.FIXED_IOVA | IoasMap.WRITEABLE | IoasMap.READABLE;
const ULONG_MAX = 2n ** 64n - 1n;

/** What an application asks for. Numbers of 64 bits may be given as bigint. @kernel struct iommu_ioas_map */
export interface MapUserRequest {
  /** Bits of {@link IoasMap}. */
  readonly flags: number;
  /** Address of the calling task's memory. */
  readonly vaddr: number;
  readonly length: number | bigint;
  /** Where to map it; only with FIXED_IOVA. */
  readonly iova?: number | bigint;
}

/** A request that passed the checks. */
export interface CheckedUserRequest {
  readonly flags: number;
  readonly start: number;
  readonly length: number;
  readonly iova: number;
}

/**
 * The checks that come before anything is pinned.
 * @kernel iommufd_ioas_map
 * @throws KernelError EOPNOTSUPP, EOVERFLOW, EINVAL
 */
export function checkMapUser(request: MapUserRequest): CheckedUserRequest {
  const { flags, vaddr } = request;
  const [length, iova] = [BigInt(request.length), BigInt(request.iova ?? 0)];
  const refused = (code: 'EOPNOTSUPP' | 'EOVERFLOW' | 'EINVAL', detail: string): KernelError =>
    new KernelError(code, 'IOMMU_IOAS_MAP', detail);
  if ((flags & ~ALL_FLAGS) !== 0) {
    throw refused('EOPNOTSUPP', `flags 0x${flags.toString(16)} outside 0x${ALL_FLAGS.toString(16)}`);
  }
  if (iova >= ULONG_MAX || length >= ULONG_MAX) {
    throw refused('EOVERFLOW', `iova ${iova} or length ${length} is 2^64-1 or more`);
  }
  if ((flags & (IoasMap.WRITEABLE | IoasMap.READABLE)) === 0) throw refused('EINVAL', 'neither READABLE nor WRITEABLE');
  if (length === 0n) throw refused('EINVAL', 'length 0');
  if (BigInt(vaddr) + length > ULONG_MAX) throw refused('EOVERFLOW', `${length} bytes at ${vaddr} exceed 64 bits`);
  if ((flags & IoasMap.FIXED_IOVA) !== 0 && iova + length - 1n > ULONG_MAX) {
    throw refused('EOVERFLOW', `iova ${iova} and length ${length} exceed 64 bits`);
  }
  return { flags, start: vaddr, length: Number(length), iova: Number(iova) };
}
