import { DmaBuf, type Exporter } from '@dmabuf-emu/core';
import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { HeapBufferStruct as B } from './buffer-struct.ts';
import type { DmaHeap } from './dma-heap.ts';
import type { HeapBuffer } from './heap-buffer.ts';

/** Exports a buffer whose pages are in place. @throws KernelError ENFILE, ENOMEM; the buffer stays the caller's then */
export function exportBuffer(ops: Exporter, heap: DmaHeap, buffer: HeapBuffer, flags: number): DmaBuf {
  const { machine, ref, p, pages } = buffer;
  const dmabuf = DmaBuf.export(machine, { ops, priv: ref, size: pages * PAGE_SIZE, expName: heap.name, flags });
  B.dmabuf.set(machine.mem, p, dmabuf.ref);
  return dmabuf;
}
