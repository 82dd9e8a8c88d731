import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';

/** What can be mapped, as the command of an mmap offset says it. @kernel MLX5_IB_MMAP_* */
export const MmapCommand = { DEVICE_MEM: 8, UAR: 9 } as const;
export type MmapCommand = (typeof MmapCommand)[keyof typeof MmapCommand];

/** Indices that one command has. */
export const INDICES = 0x10000;

const COMMAND_SHIFT = 8;
const COMMAND_MASK = 0xff;
const INDEX_LOW = 0xff;
const INDEX_HIGH_SHIFT = 16;

/** Key of an entry: command in the high half, index in the low. @kernel rdma_user_mmap_entry.start_pgoff */
export function entryKey(command: number, index: number): number {
  return command * INDICES + index;
}

/**
 * The byte offset that a program passes to mmap(2), or to the export, for the entry with that key. Bits of the page number:
 * 0-7 low index, 8-15 command, 16-23 high index.
 * @kernel mlx5_entry_to_mmap_offset
 */
export function pageOffsetOf(key: number): number {
  const command = Math.floor(key / INDICES);
  const index = key % INDICES;
  return (((index >>> 8) << INDEX_HIGH_SHIFT) | (command << COMMAND_SHIFT) | (index & INDEX_LOW)) * PAGE_SIZE;
}

/** The key that a byte offset names; bits below a page are ignored. @kernel mlx5_ib_pgoff_to_mmap_entry */
export function keyOfPageOffset(offset: bigint): number {
  const page = Number(BigInt.asUintN(53, offset / BigInt(PAGE_SIZE)));
  const high = Math.floor(page / 2 ** INDEX_HIGH_SHIFT) & 0xff;
  return entryKey((page >>> COMMAND_SHIFT) & COMMAND_MASK, (high << 8) | (page & INDEX_LOW));
}
