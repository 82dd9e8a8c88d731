/** Size of a page, of a frame and of the IOMMU's granule in bytes. */
export const PAGE_SIZE = 4096;
export const PAGE_SHIFT = 12;
/** Pages below one large leaf of the IOMMU's page table (2 MiB). */
export const LARGE_PAGES = 512;
/** Frame numbers have 30 bits: a page-table entry keeps two more for the permissions. */
export const MAX_FRAMES = 2 ** 30;

/** Whether `value` is a whole multiple of a page. */
export function isPageAligned(value: number): boolean {
  return Math.floor(value / PAGE_SIZE) * PAGE_SIZE === value;
}

/** The page boundary at or below `value`. */
export function pageDown(value: number): number {
  return Math.floor(value / PAGE_SIZE) * PAGE_SIZE;
}

/** The page boundary at or above `value`. */
export function pageUp(value: number): number {
  return Math.ceil(value / PAGE_SIZE) * PAGE_SIZE;
}

/** Distance of `value` from the page boundary at or below it. Faster than `%`, which is slow above 2^31. */
export function pageOffset(value: number): number {
  return (value | 0) & (PAGE_SIZE - 1);
}

/** Number of the page that holds address `value`. Exact to 2^53. */
export function pageNumber(value: number): number {
  return Math.floor(value / PAGE_SIZE);
}
