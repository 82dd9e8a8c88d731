import { DmaBuf } from '@dmabuf-emu/core';
import { type Machine, taskIsDead, type VerifyBuilder } from '@dmabuf-emu/shm';
import { HeapAttachmentStruct as A, HeapBufferStruct as B } from './buffer-struct.ts';
import { cmaUsage } from './cma-area.ts';
import { HeapBuffer } from './heap-buffer.ts';

/** Proves on a quiet machine that buffers of heaps have their dma-bufs, and that the CMA area counts right. */
export function verifyHeaps(machine: Machine, report: VerifyBuilder): void {
  const deaths = machine.tasks().some(({ state }) => state === 'dead');
  const slab = machine.slab(B);
  let cmaPages = 0;
  report.count('heap_buffer', 0);
  for (const ref of slab.live()) {
    report.count('heap_buffer', 1);
    const buffer = new HeapBuffer(machine, ref);
    if (buffer.cma) cmaPages += buffer.pages;
    const dmabuf = DmaBuf.of(machine, B.dmabuf.get(machine.mem, buffer.p));
    if (dmabuf.label !== 'gone' && dmabuf.priv === ref) continue;
    const owner = slab.ownerOf(ref, B.ownerTask.get(machine.mem, buffer.p));
    if (taskIsDead(machine, owner)) report.damage('heap', `a buffer was being made by task ${owner}, which died`);
    else report.leak('heap', 'a buffer has no dma-buf');
  }
  report.count('heap_attachment', [...machine.slab(A).live()].length);
  const { usedPages } = cmaUsage(machine);
  const text = `${usedPages} pages of the CMA area are counted, buffers have ${cmaPages}`;
  if (usedPages !== cmaPages && deaths) report.damage('cma', text);
  else if (usedPages !== cmaPages) report.error(text);
}
