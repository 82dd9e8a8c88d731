import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { isKernelError, KernelError, type Machine, orUndo } from '@dmabuf-emu/shm';
import { OomKill } from '../memory/oom.ts';
import { allocPage } from '../memory/page.ts';
import { ramOf } from '../memory/page-bytes.ts';
import { exportBuffer } from './export-buffer.ts';
import { systemHeapExporter } from './exporter-ops.ts';
import { HeapBuffer, RUN_PAGES } from './heap-buffer.ts';
import { defineHeap } from './heap-ops.ts';

const SITE = 'system_heap_allocate';

/**
 * Buffers of pages from anywhere in RAM, in runs of 1 MiB, 64 KiB and 4 KiB that never get larger. There is no limit: a
 * process that asks for more than there is does not live on ({@link OomKill}).
 * @kernel system_heap_ops
 */
export const systemHeap = defineHeap({
  name: 'system',
  allocate(heap, len, fdFlags) {
    const buffer = HeapBuffer.create(heap.machine, false);
    return orUndo(
      () => {
        fill(heap.machine, buffer, len / PAGE_SIZE);
        return exportBuffer(systemHeapExporter, heap, buffer, fdFlags);
      },
      () => buffer.free(),
    );
  },
});

function fill(machine: Machine, buffer: HeapBuffer, pages: number): void {
  for (let order = 0; buffer.pages < pages;) {
    if (machine.signalPending) throw new KernelError('EINTR', SITE, 'a signal is pending');
    order = append(machine, buffer, pages, order);
  }
}

/** Appends the largest run that is needed and can be had, none larger than the last one; returns its place among the sizes. @kernel alloc_largest_available */
function append(machine: Machine, buffer: HeapBuffer, pages: number, from: number): number {
  for (let order = from; ; order++) {
    const size = RUN_PAGES[order]!;
    if (size > pages - buffer.pages) continue;
    try {
      buffer.append(allocPage(machine, size));
      return order;
    } catch (error) {
      if (!isKernelError(error, 'ENOMEM')) throw error;
      if (size === 1) throw outOfMemory(machine, error, pages);
    }
  }
}

/** A single page could not be had: because there is none any more, or (an injected failure) for no reason. */
function outOfMemory(machine: Machine, error: KernelError, pages: number): KernelError {
  const { freePages, totalPages } = ramOf(machine).ram;
  // Physical page 0 is free for ever.
  if (freePages > 1) return error;
  const text = `none of ${totalPages} pages is free, ${pages} were asked for`;
  machine.diag.info('oom-kill', `task ${machine.tid} (${machine.taskName(machine.tid)}): ${text}`);
  return new OomKill(SITE, text);
}
