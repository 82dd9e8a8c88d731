import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { KernelError, kmemSlab, type Machine } from '@dmabuf-emu/shm';
import type { BarRange } from './ranges.ts';

/** Words of a range: first page in the BAR, number of pages. */
const RANGE_WORDS = 2;
/** Words from the start of a slot to the first range. */
const FIRST = 1;
/** Bytes of a range as the user passes it, and as the kernel keeps it. @kernel struct phys_vec */
const KERNEL_BYTES = 16;
/** Largest block that the kernel hands out in one piece. @kernel KMALLOC_MAX_SIZE */
const LARGEST_BLOCK = 4 << 20;

/** @throws KernelError ENOMEM when the kernel could not hold that many ranges in one piece of memory */
export function checkRangeCount(count: number): void {
  if (count * KERNEL_BYTES <= LARGEST_BLOCK) return;
  const limit = LARGEST_BLOCK / KERNEL_BYTES;
  throw new KernelError('ENOMEM', 'memdup_array_user', `${count} ranges, at most ${limit} fit in one block`);
}

/** Room for `count` ranges. @throws KernelError ENOMEM */
export function allocRanges(machine: Machine, count: number): number {
  return kmemSlab(machine, count * RANGE_WORDS).alloc('vfio_pci_dma_buf.phys_vec');
}

export function writeRanges(machine: Machine, block: number, ranges: readonly BarRange[]): void {
  const at = kmemSlab(machine, ranges.length * RANGE_WORDS).at(block) + FIRST;
  ranges.forEach(({ offset, length }, i) => {
    machine.mem.i32[at + i * RANGE_WORDS] = offset / PAGE_SIZE;
    machine.mem.i32[at + i * RANGE_WORDS + 1] = length / PAGE_SIZE;
  });
}

export function readRanges(machine: Machine, block: number, count: number): BarRange[] {
  const { i32 } = machine.mem;
  const at = kmemSlab(machine, count * RANGE_WORDS).at(block) + FIRST;
  return Array.from({ length: count }, (_, i) => ({
    offset: (i32[at + i * RANGE_WORDS]! >>> 0) * PAGE_SIZE,
    length: (i32[at + i * RANGE_WORDS + 1]! >>> 0) * PAGE_SIZE,
  }));
}

export function freeRanges(machine: Machine, block: number, count: number): void {
  kmemSlab(machine, count * RANGE_WORDS).free(block, 'vfio_pci_dma_buf.phys_vec');
}
