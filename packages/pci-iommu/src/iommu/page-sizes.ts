import { KernelError } from '@dmabuf-emu/shm';
import { PAGE_SHIFT } from '../memory/page.ts';

/** 4 KiB, 2 MiB and 1 GiB: what the page tables of most servers have. */
export const DEFAULT_PGSIZES = 2 ** 12 + 2 ** 21 + 2 ** 30;
/** Page numbers of one table entry's next level: 512 entries a table. */
export const LEVEL_BITS = 9;
/** Leaves have at most 2^26 pages: 256 GiB. */
const MAX_ORDER = 26;
const ALL_ORDERS = 2 ** (MAX_ORDER + 1) - 1;
/** The smallest size is at most 1 GiB. */
const MAX_GRANULE_ORDER = 18;
/** Orders of leaves that are one entry of a table: 4 KiB, 2 MiB, 1 GiB. */
const SINGLE_ENTRY_ORDERS = 1 | (1 << LEVEL_BITS) | (1 << (2 * LEVEL_BITS));
const MAX_SHIFT = 30;

/**
 * The sizes of leaves that a domain may use as bits: bit n for leaves of 2^n pages.
 * @param bitmap - the sizes added up
 * @throws KernelError EINVAL for a size below 4 KiB or above 256 GiB, or none of at most 1 GiB
 * @kernel iommu_domain.pgsize_bitmap
 */
export function ordersOf(bitmap: number): number {
  const orders = bitmap / 2 ** PAGE_SHIFT;
  const isPossible = Number.isInteger(orders) && orders > 0 && orders <= ALL_ORDERS;
  if (isPossible && lowestOrder(orders) <= MAX_GRANULE_ORDER) return orders;
  throw new KernelError(
    'EINVAL',
    'iommu_domain_alloc',
    `page sizes 0x${bitmap.toString(16)}: a sum of powers of two from 4 KiB to 256 GiB is needed, one of them at most 1 GiB`,
  );
}

/** The lowest of some orders. */
export function lowestOrder(orders: number): number {
  return 31 - Math.clz32(orders & -orders);
}

/** The highest order that is at most `limit`; -1 when there is none. */
export function highestOrder(orders: number, limit: number): number {
  return 31 - Math.clz32(orders & ((2 << limit) - 1));
}

/** So many pages are too few for any size but 4 KiB; 0 without that size. */
export function fewPages(orders: number): number {
  return (orders & 1) === 0 ? 0 : 2 ** Math.min(MAX_SHIFT, lowestOrder((orders & ~1) | (1 << MAX_SHIFT))) - 1;
}

/** Whether some leaves take more than one entry of their table. */
export function hasJoined(orders: number): boolean {
  return (orders & ~SINGLE_ENTRY_ORDERS) !== 0;
}

/**
 * The order of the largest leaf that begins at a page; -1 when none fits.
 * @param place - low 32 bits of the page's number, or-ed with those of the physical page's number
 * @param pages - how many are to be mapped
 * @kernel iommu_pgsize, pt_compute_best_pgsize
 */
export function bestOrder(orders: number, place: number, pages: number): number {
  const bySize = pages >= 2 ** MAX_SHIFT ? MAX_SHIFT - 1 : 31 - Math.clz32(pages);
  const byPlace = place === 0 ? MAX_SHIFT - 1 : 31 - Math.clz32(place & -place);
  return highestOrder(orders, Math.min(bySize, byPlace, MAX_SHIFT - 1));
}

/**
 * How many of `pages` pages to map with leaves of `order` before a larger one fits.
 * @param low - low 32 bits of the page's number, `physical` of the physical page's number
 */
export function runOf(orders: number, order: number, low: number, physical: number, pages: number): number {
  const whole = order === 0 ? pages : Math.floor(pages / 2 ** order) * 2 ** order;
  const larger = orders & -(2 << order);
  if (larger === 0) return whole;
  const size = larger & -larger;
  if (pages < size || ((low ^ physical) & (size - 1)) !== 0) return whole;
  const before = size - (low & (size - 1));
  return before + size <= pages ? before : whole;
}
