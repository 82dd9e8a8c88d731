import { KernelError } from '@dmabuf-emu/shm';
import { resvUsageRw } from '../../resv/index.ts';
import { DmaDirection } from '../../sg/dma-direction.ts';
import type { DmaBuf } from '../dma-buf.ts';
import { SyncFlags } from '../sync-flags.ts';

/** The exporter first, so that it may do better than waiting; then the implicit fences. @kernel dma_buf_begin_cpu_access @locks resv not held */
export function beginCpuAccess(dmabuf: DmaBuf, direction: DmaDirection): void {
  mightLock(dmabuf, 'dma_buf_begin_cpu_access');
  dmabuf.exporter.beginCpuAccess?.(dmabuf, direction);
  const writes = direction === DmaDirection.BIDIRECTIONAL || direction === DmaDirection.TO_DEVICE;
  dmabuf.resv.wait(resvUsageRw(writes), { interruptible: true });
  dmabuf.state.trace.emit('dma_buf_begin_cpu_access', dmabuf.ino, direction);
}

/** @kernel dma_buf_end_cpu_access @locks resv not held */
export function endCpuAccess(dmabuf: DmaBuf, direction: DmaDirection): void {
  mightLock(dmabuf, 'dma_buf_end_cpu_access');
  dmabuf.exporter.endCpuAccess?.(dmabuf, direction);
  dmabuf.state.trace.emit('dma_buf_end_cpu_access', dmabuf.ino, direction);
}

const DIRECTIONS: Readonly<Record<number, DmaDirection>> = {
  [SyncFlags.READ]: DmaDirection.FROM_DEVICE,
  [SyncFlags.WRITE]: DmaDirection.TO_DEVICE,
  [SyncFlags.RW]: DmaDirection.BIDIRECTIONAL,
};

/** @kernel DMA_BUF_IOCTL_SYNC */
export function syncBuffer(dmabuf: DmaBuf, flags: number): void {
  const direction = DIRECTIONS[flags & SyncFlags.RW];
  // Larger numbers than 32 bits are not cut by the mask.
  if (flags < 0 || flags > SyncFlags.VALID_FLAGS_MASK || direction === undefined) {
    throw new KernelError('EINVAL', 'DMA_BUF_IOCTL_SYNC', `flags are READ, WRITE or both, and END; got ${flags}`);
  }
  if ((flags & SyncFlags.END) === 0) beginCpuAccess(dmabuf, direction);
  else endCpuAccess(dmabuf, direction);
}

/** @kernel might_lock */
function mightLock(dmabuf: DmaBuf, where: string): void {
  if (!dmabuf.machine.lockdep.enabled || !dmabuf.resv.heldByMe) return;
  dmabuf.machine.diag.lockdep(
    'resv-held',
    `${where} may take the resv lock of buffer ${dmabuf.label}, which this task holds`,
  );
}
