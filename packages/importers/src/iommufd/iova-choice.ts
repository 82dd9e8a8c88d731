import { IOVA_APERTURE_END, PAGE_SIZE, type ReservedRange } from '@dmabuf-emu/pci-iommu';
import { KernelError } from '@dmabuf-emu/shm';

const HUGE_PAGE = 2 * 1024 * 1024;

/** A taken range of an address space. */
export interface TakenRange {
  readonly iova: number;
  readonly length: number;
}

/** What an address space looks like when a place is chosen in it. */
export interface IovaLayout {
  /** Ascending, disjoint. */
  readonly taken: readonly TakenRange[];
  readonly reserved: readonly ReservedRange[];
  /** What every address and length must be a multiple of. */
  readonly alignment: number;
}

/**
 * The lowest address that fits, never in page 0: aligned to the smallest of the length's next power of two, the lowest bit set
 * in `start`, and a huge page; plus the offset in the page.
 * @kernel iopt_alloc_iova
 * @throws KernelError EOVERFLOW, ENOSPC
 */
export function chooseIova(layout: IovaLayout, start: number, length: number): number {
  const inPage = start % PAGE_SIZE;
  const size = length + inPage;
  if (length >= 2 ** 63) throw new KernelError('EOVERFLOW', 'iopt_alloc_iova', `length ${length}`);
  const align = Math.max(
    layout.alignment,
    Math.min(nextPowerOfTwo(length), start === 0 ? HUGE_PAGE : lowestBit(start), HUGE_PAGE),
  );
  let at = alignUp(PAGE_SIZE, align);
  for (const { start: from, end } of blockers(layout)) {
    if (at + size - 1 < from) break;
    if (end >= at) at = alignUp(end + 1, align);
  }
  if (at + size - 1 > IOVA_APERTURE_END) {
    throw new KernelError('ENOSPC', 'iopt_alloc_iova', `no hole of ${size} bytes aligned to ${align}`);
  }
  return at + inPage;
}

/** Whether a wanted address is possible. @kernel iopt_check_iova @throws KernelError EINVAL, EOVERFLOW, EEXIST */
export function checkIova(layout: IovaLayout, iova: number, length: number): void {
  const fail = (code: 'EINVAL' | 'EOVERFLOW' | 'EEXIST', detail: string): KernelError =>
    new KernelError(code, 'iopt_check_iova', `iova 0x${iova.toString(16)}+${length}: ${detail}`);
  if (iova % layout.alignment !== 0) throw fail('EINVAL', `not a multiple of ${layout.alignment}`);
  const last = iova + length - 1;
  if (last >= 2 ** 64) throw fail('EOVERFLOW', 'beyond 64 bits');
  if (last > IOVA_APERTURE_END || layout.reserved.some(({ start, end }) => start <= last && end >= iova)) {
    throw fail('EINVAL', 'in a reserved range');
  }
  if (layout.taken.some((area) => area.iova <= last && area.iova + area.length > iova))
    throw fail('EEXIST', 'an area is there');
}

/** Taken and reserved ranges, ascending; both ends inclusive. */
function blockers({ taken, reserved }: IovaLayout): ReservedRange[] {
  const areas = taken.map(({ iova, length }) => ({ start: iova, end: iova + length - 1 }));
  return [...areas, ...reserved].toSorted((a, b) => a.start - b.start);
}

function alignUp(value: number, align: number): number {
  return Math.ceil(value / align) * align;
}

function nextPowerOfTwo(value: number): number {
  let power = 1;
  while (power < value) power *= 2;
  return power;
}

function lowestBit(value: number): number {
  let bit = 1;
  while (value % (bit * 2) === 0 && bit < HUGE_PAGE) bit *= 2;
  return bit;
}
