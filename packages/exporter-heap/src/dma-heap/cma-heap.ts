import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { isKernelError, type Machine, orUndo } from '@dmabuf-emu/shm';
import { allocPage } from '../memory/page.ts';
import { chargeCma, unchargeCma } from './cma-area.ts';
import { exportBuffer } from './export-buffer.ts';
import { cmaHeapExporter } from './exporter-ops.ts';
import { HeapBuffer } from './heap-buffer.ts';
import { defineHeap } from './heap-ops.ts';

/** Buffers are aligned to their size, up to so many pages. @kernel CONFIG_CMA_ALIGNMENT */
const ALIGN_MAX = 256;

/** Contiguous buffers, out of an area that ends. @kernel cma_heap_ops */
export const cmaHeap = defineHeap({
  name: 'cma',
  allocate(heap, len, fdFlags) {
    const { machine } = heap;
    const buffer = HeapBuffer.create(machine, true);
    const pages = len / PAGE_SIZE;
    return orUndo(
      () => {
        charge(machine, pages);
        return orUndo(
          () => {
            buffer.append(allocPage(machine, pages, Math.min(ALIGN_MAX, 2 ** Math.ceil(Math.log2(pages)))));
            return exportBuffer(cmaHeapExporter, heap, buffer, fdFlags);
          },
          () => unchargeCma(machine, pages),
        );
      },
      () => buffer.free(),
    );
  },
});

/** The kernel says in its log when the area has not enough left. */
function charge(machine: Machine, pages: number): void {
  try {
    chargeCma(machine, pages);
  } catch (error) {
    if (isKernelError(error)) machine.diag.info('cma-alloc-failed', error.message);
    throw error;
  }
}
