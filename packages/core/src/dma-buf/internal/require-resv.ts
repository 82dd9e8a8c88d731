import { KernelError } from '@dmabuf-emu/shm';
import type { Attachment } from '../attachment.ts';
import type { DmaBuf } from '../dma-buf.ts';
import { violate } from '../rules.ts';

/**
 * The kernel only asserts that the caller holds resv. Going on without it would be a real race here, so the call is refused.
 * @kernel dma_resv_assert_held
 * @throws KernelError EINVAL, after a violation of `resv-not-held`.
 */
export function requireResv(dmabuf: DmaBuf, step: string, attachment?: Attachment): void {
  if (dmabuf.resv.heldByMe) return;
  violate(dmabuf, 'resv-not-held', `${step} needs the buffer's resv lock held by the calling task`, {
    step,
    ...(attachment === undefined ? {} : { attachment }),
  });
  throw new KernelError('EINVAL', step, `the resv lock of buffer ${dmabuf.label} is not held by the calling task`);
}
