import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { KernelError } from '@dmabuf-emu/shm';

/** What a memory region may be used for. @kernel enum ib_access_flags */
export const MrAccess = {
  LOCAL_WRITE: 1,
  REMOTE_WRITE: 2,
  REMOTE_READ: 4,
  REMOTE_ATOMIC: 8,
  RELAXED_ORDERING: 1 << 20,
} as const;

const KNOWN = Object.values(MrAccess).reduce((sum, bit) => sum | bit, 0);

/** What an application asks for when it registers a window of a buffer. */
export interface RegistrationInfo {
  readonly offset: number;
  readonly length: number;
  /** Address by which the application names the first byte; the offset when left out. */
  readonly iova?: number;
  /** Bits of {@link MrAccess}; none when left out. */
  readonly access?: number;
}

/** The checks that come before the driver's. @kernel UVERBS_METHOD_REG_DMABUF_MR @throws KernelError EINVAL */
export function checkRegistration({ offset, iova = offset, access = 0 }: RegistrationInfo): void {
  const where = 'UVERBS_METHOD_REG_DMABUF_MR';
  if (offset % PAGE_SIZE !== iova % PAGE_SIZE) {
    const inPage = `${offset % PAGE_SIZE} and ${iova % PAGE_SIZE}`;
    throw new KernelError('EINVAL', where, `offset and iova must be at the same place of a page, got ${inPage}`);
  }
  if ((access & ~KNOWN) !== 0) {
    throw new KernelError('EINVAL', where, `access flags 0x${access.toString(16)} outside 0x${KNOWN.toString(16)}`);
  }
  const remote = MrAccess.REMOTE_WRITE | MrAccess.REMOTE_ATOMIC;
  if ((access & remote) !== 0 && (access & MrAccess.LOCAL_WRITE) === 0) {
    throw new KernelError('EINVAL', where, 'REMOTE_WRITE and REMOTE_ATOMIC need LOCAL_WRITE');
  }
}
