import { PAGE_SIZE, type PhysicalMemory, PciSystem } from '@dmabuf-emu/pci-iommu';
import type { Machine } from '@dmabuf-emu/shm';

/** The RAM of a machine. @throws UsageError when the machine has no PCI side, which is what RAM belongs to */
export function ramOf(machine: Machine): PhysicalMemory {
  return PciSystem.of(machine).memory;
}

/** Zeroes pages. Those that nobody ever wrote are zero already and stay without backing. @kernel clear_page */
export function clearPages(machine: Machine, paddr: number, count: number): void {
  const memory = ramOf(machine);
  const frame = memory.map.frameOf(paddr);
  for (let i = 0; i < count; i++) {
    const at = memory.backing(frame + i);
    if (at !== 0) machine.mem.fill(at, 0, PAGE_SIZE);
  }
}

/**
 * Byte offset in the machine's memory of a page of RAM, which gets its backing if it has none: what a page fault maps.
 * @throws KernelError ENOMEM when the memory behind physical addresses is used up
 */
export function pageBytesAt(machine: Machine, paddr: number): number {
  const { map, store } = ramOf(machine);
  const frame = map.frameOf(paddr);
  const at = store.offsetOf(frame);
  if (at !== 0) return at;
  store.back(frame, 1);
  return store.offsetOf(frame);
}
