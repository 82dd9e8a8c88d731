import { KernelError, UsageError } from '@dmabuf-emu/shm';
import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';

/** An unsigned 64-bit value as a caller may give it: a number (whole, not negative) or a bigint. */
export type U64 = number | bigint;

/** A part of a region. @kernel vfio_region_dma_range */
export interface DmaRange {
  readonly offset: U64;
  readonly length: U64;
}

/** A {@link DmaRange} that was found to lie inside its BAR. */
export interface BarRange {
  readonly offset: number;
  readonly length: number;
}

const LIMIT = 1n << 64n;
const PAGE_MASK = BigInt(PAGE_SIZE - 1);
/** A total of this size or more would set the bit that marks bounced mappings. @kernel DMA_IOVA_USE_SWIOTLB */
const SWIOTLB_BIT = 1n << 63n;

/** @throws UsageError when `value` is no unsigned 64-bit number */
export function toU64(value: U64, what: string): bigint {
  const wide = typeof value === 'bigint' ? value : Number.isInteger(value) ? BigInt(value) : -1n;
  if (wide >= 0n && wide < LIMIT) return wide;
  throw new UsageError(`${what} must be a whole number from 0 to 2^64-1, got ${value}`);
}

/**
 * Total length of the ranges.
 * @kernel validate_dmabuf_input
 * @throws KernelError EINVAL for a range that is empty or not page aligned, and for a total of 2^63 or more
 */
export function validateRanges(ranges: readonly DmaRange[]): bigint {
  let total = 0n;
  ranges.forEach((range, i) => {
    const offset = toU64(range.offset, `offset of range ${i}`);
    const length = toU64(range.length, `length of range ${i}`);
    if (length === 0n || ((offset | length) & PAGE_MASK) !== 0n) {
      throw invalid(
        `range ${i} (offset ${hex(offset)}, length ${hex(length)}) must be whole pages of ${PAGE_SIZE} bytes`,
      );
    }
    total += length;
    if (total >= LIMIT) throw invalid(`the lengths of ranges 0 to ${i} add up to 2^64 or more`);
  });
  if (total >= SWIOTLB_BIT) throw invalid(`the lengths add up to ${hex(total)}, must be below 2^63`);
  return total;
}

/**
 * The ranges as offsets into a BAR.
 * @kernel vfio_pci_core_fill_phys_vec
 * @throws KernelError EOVERFLOW when an address wraps around 2^64, EINVAL when a range ends behind the BAR
 */
export function rangesInBar(
  ranges: readonly DmaRange[],
  bar: { readonly start: number; readonly size: number },
): BarRange[] {
  const start = BigInt(bar.start);
  const barEnd = start + BigInt(bar.size);
  return ranges.map(({ offset, length }, i) => {
    const end = start + BigInt(offset) + BigInt(length);
    if (end >= LIMIT) {
      throw new KernelError('EOVERFLOW', 'vfio_pci_core_fill_phys_vec', `range ${i} ends at address ${hex(end)}`);
    }
    if (end > barEnd) throw invalid(`range ${i} ends at ${hex(end - start)}, the BAR at ${hex(BigInt(bar.size))}`);
    return { offset: Number(offset), length: Number(length) };
  });
}

function invalid(detail: string): KernelError {
  return new KernelError('EINVAL', 'vfio_pci_core_feature_dma_buf', detail);
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
