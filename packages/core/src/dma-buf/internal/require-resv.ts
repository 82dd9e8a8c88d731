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

/**
 * The opposite: a call that waits for somebody who needs resv would wait for ever.
 * @throws KernelError EDEADLK, after a violation of `resv-held`.
 */
export function requireNoResv(dmabuf: DmaBuf, step: string): void {
  if (!dmabuf.resv.heldByMe) return;
  violate(dmabuf, 'resv-held', `${step} waits for what needs the buffer's resv lock, with it held`, { step });
  throw new KernelError('EDEADLK', step, `the calling task holds the resv lock of buffer ${dmabuf.label}`);
}
