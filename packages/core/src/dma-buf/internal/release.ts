import { ModuleOwner } from '../module-owner.ts';
import type { DmaBuf } from '../dma-buf.ts';
import { pollCallbacks } from './poll.ts';
import { DmaBufStruct as B } from './structs.ts';

/** The last reference is gone. Runs without locks. @kernel dma_buf_file_release, dma_buf_release */
export function releaseBuffer(dmabuf: DmaBuf): void {
  const { state, machine, ino } = dmabuf;
  const { mem, buffers } = state;
  state.listDelete(dmabuf.ref);
  const p = buffers.at(dmabuf.ref);
  const vmaps = B.vmapCount.get(mem, p);
  if (vmaps !== 0) machine.diag.bug('dma_buf_release', `buffer ${dmabuf.label} is released with ${vmaps} vmaps`);
  const callbacks = pollCallbacks(state, p);
  if (callbacks.some(({ active }) => active !== 0)) {
    machine.diag.bug('dma_buf_release', `buffer ${dmabuf.label} is released with a poll callback on a fence`);
  }
  dmabuf.exporter.release(dmabuf);
  for (const callback of callbacks) callback.destroy();
  if (B.ownResv.get(mem, p) !== 0) dmabuf.resv.destroy();
  if (B.attachments.get(mem, p) !== 0) {
    machine.diag.warn('dma_buf_release', `buffer ${dmabuf.label} is released with attachments`);
  }
  const owner = B.owner.get(mem, p);
  if (owner !== 0) ModuleOwner.of(machine, owner).put();
  buffers.free(dmabuf.ref, 'dma_buf_release');
  state.trace.emit('dma_buf_release', ino);
}
