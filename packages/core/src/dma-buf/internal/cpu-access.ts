import { ResvUsage } from '../../resv/index.ts';
import { DmaDirection } from '../../sg/dma-direction.ts';
import type { DmaBuf } from '../dma-buf.ts';

/** The exporter first, so that it may do better than waiting; then the implicit fences. @kernel dma_buf_begin_cpu_access @locks resv not held */
export function beginCpuAccess(dmabuf: DmaBuf, direction: DmaDirection): void {
  mightLock(dmabuf, 'dma_buf_begin_cpu_access');
  dmabuf.exporter.beginCpuAccess?.(dmabuf, direction);
  const writes = direction === DmaDirection.BIDIRECTIONAL || direction === DmaDirection.TO_DEVICE;
  dmabuf.resv.wait(writes ? ResvUsage.READ : ResvUsage.WRITE, { interruptible: true });
  dmabuf.state.trace.emit('dma_buf_begin_cpu_access', dmabuf.ino, direction);
}

/** @kernel dma_buf_end_cpu_access @locks resv not held */
export function endCpuAccess(dmabuf: DmaBuf, direction: DmaDirection): void {
  mightLock(dmabuf, 'dma_buf_end_cpu_access');
  dmabuf.exporter.endCpuAccess?.(dmabuf, direction);
  dmabuf.state.trace.emit('dma_buf_end_cpu_access', dmabuf.ino, direction);
}

/** @kernel might_lock */
function mightLock(dmabuf: DmaBuf, where: string): void {
  if (!dmabuf.machine.lockdep.enabled || !dmabuf.resv.heldByMe) return;
  dmabuf.machine.diag.lockdep(
    'resv-held',
    `${where} may take the resv lock of buffer ${dmabuf.label}, which this task holds`,
  );
}
