import { atomicAdd, atomicStore, kmemSlab, syncPoint } from '@dmabuf-emu/shm';
import { putFence } from '../../fence/internal/refs.ts';
import { ENTRIES, MAX, NUM, ResvStruct as R, SELF, SIZE } from './layout.ts';
import type { ResvTable } from './table.ts';

/** Bytes that the kernel's list and each of its slots take. */
const HEADER_BYTES = 24;
const SLOT_BYTES = 8;
const PAGE_BYTES = 4096;
/** Sizes that its allocator has below two pages. @kernel kmalloc_info */
const BUCKETS = [8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192];

/** Slots that the kernel's allocator really gives for a request, as `dma_resv_list_alloc` finds out with ksize. */
export function capacityFor(count: number): number {
  const bytes = HEADER_BYTES + SLOT_BYTES * count;
  let bucket = BUCKETS.find((size) => size >= bytes);
  if (bucket === undefined) for (bucket = 2 * PAGE_BYTES; bucket < bytes; bucket *= 2);
  return Math.floor((bucket - HEADER_BYTES) / SLOT_BYTES);
}

/** Word of a fresh list, unpublished and empty. @throws KernelError ENOMEM @kernel dma_resv_list_alloc, dma_resv_list */
export function allocList(t: ResvTable, count: number, site: string): number {
  const max = capacityFor(count);
  const size = ENTRIES + max;
  const slab = kmemSlab(t.machine, size);
  const ref = slab.allocRaw(site);
  const list = slab.at(ref);
  const { i32 } = t.mem;
  i32[list + NUM] = 0;
  i32[list + MAX] = max;
  i32[list + SELF] = ref;
  i32[list + SIZE] = size;
  return list;
}

/** Frees a list's memory; its references have gone elsewhere. Readers that still look at it find the version changed. */
export function freeListMemory(t: ResvTable, list: number): void {
  const { i32 } = t.mem;
  kmemSlab(t.machine, i32[list + SIZE]!).free(i32[list + SELF]!, 'dma_resv_list_free');
}

/** Drops a list's references and frees it. @kernel dma_resv_list_free */
export function freeList(t: ResvTable, list: number): void {
  if (list === 0) return;
  const { i32 } = t.mem;
  const fences = Array.from({ length: i32[list + NUM]! }, (_, i) => t.fenceOf(i32[list + ENTRIES + i]!));
  freeListMemory(t, list);
  for (const fence of fences) putFence(t.fences, fence);
}

/** Makes `list` (0 for none) the one that readers see, and makes those that are under way start again. */
export function publishList(t: ResvTable, p: number, list: number): void {
  syncPoint('resv.publish', p + R.list.at);
  atomicStore(t.mem, p + R.list.at, list);
  atomicAdd(t.mem, p + R.version.at, 1);
}
