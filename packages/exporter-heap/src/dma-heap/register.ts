import { registerDrivers } from '@dmabuf-emu/core';
import { isKernelError, type Machine } from '@dmabuf-emu/shm';
import { registerHolder } from '../memory/holders.ts';
import { ramOf } from '../memory/page-bytes.ts';
import { prepareMemory } from '../memory/prepare.ts';
import { HEAP_QUIRKS } from '../quirks.ts';
import { HeapBufferStruct as B } from './buffer-struct.ts';
import { cmaUsage, setCmaPages } from './cma-area.ts';
import { cmaHeap } from './cma-heap.ts';
import { DmaHeap } from './dma-heap.ts';
import { cmaHeapExporter, systemHeapExporter } from './exporter-ops.ts';
import { HeapBuffer } from './heap-buffer.ts';
import type { HeapOps } from './heap-ops.ts';
import { systemHeap } from './system-heap.ts';
import { verifyHeaps } from './verify.ts';

const PREPARED = Symbol('exporter-heap.dma-heap');
const PAGE_BYTES = 4096;
/** Size of the CMA area unless told otherwise, where RAM is large enough: no more than a quarter of it. */
const CMA_BYTES = 64 * 2 ** 20;

/** How the heaps of a machine are. */
export interface HeapOptions {
  /** Size of the CMA area; 0 for a machine without CMA heaps. The first thread that registers the heaps decides. @kernel cma= */
  readonly cmaBytes?: number;
}

/**
 * Makes the heaps of the machine and their code available in the calling thread, once: `system`, and those of the CMA area.
 * Every thread that allocates from heaps, maps or puts their buffers needs it.
 * @throws KernelError ENOMEM
 */
export function registerHeaps(machine: Machine, options: HeapOptions = {}): void {
  machine.local(PREPARED, () => {
    prepareMemory(machine);
    registerDrivers(machine, [systemHeapExporter, cmaHeapExporter, systemHeap, cmaHeap]);
    registerHolder(machine, 'page', 'dma-heap', function* () {
      for (const ref of machine.slab(B).live()) yield* new HeapBuffer(machine, ref).heads();
    });
    machine.onVerify('exporter-heap.dma-heap', (report) => verifyHeaps(machine, report));
    boot(machine, options);
    return true;
  });
}

function boot(machine: Machine, { cmaBytes }: HeapOptions): void {
  const bytes = cmaBytes ?? Math.min(CMA_BYTES, (ramOf(machine).ram.totalPages * PAGE_BYTES) / 4);
  machine.once('dma-heap.cma', () => setCmaPages(machine, Math.floor(bytes / PAGE_BYTES)));
  add(machine, 'system', systemHeap);
  if (cmaUsage(machine).totalPages > 0) for (const name of cmaNames(machine)) add(machine, name, cmaHeap);
}

function cmaNames(machine: Machine): string[] {
  if (HEAP_QUIRKS.has(machine, 'heap.cmaAreaName')) return ['reserved'];
  return HEAP_QUIRKS.has(machine, 'heap.reservedAlias') ? ['default_cma_region', 'reserved'] : ['default_cma_region'];
}

/** Another thread may have added it. */
function add(machine: Machine, name: string, ops: HeapOps): void {
  if (DmaHeap.find(machine, name) !== undefined) return;
  try {
    DmaHeap.add(machine, { name, ops });
  } catch (error) {
    if (!isKernelError(error, 'EEXIST')) throw error;
  }
}
