import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';

/** A contiguous range of DMA addresses. */
export interface Segment {
  readonly address: number;
  readonly length: number;
}

/**
 * Which DMA address each page of a buffer has: an engine's own copy of a mapping, as hardware keeps it in its page tables.
 * Only good while the mapping is.
 */
export class DmaWindow {
  /** Offset in the buffer of the first mapped byte, a multiple of the page size. */
  readonly start: number;
  /** First page of the buffer that is mapped, and how many are. */
  readonly firstPage: number;
  readonly pages: number;
  readonly #ends: number[] = [];
  readonly #addresses: number[] = [];

  /** @param start - offset in the buffer that the first segment maps */
  constructor(start: number, segments: readonly Segment[]) {
    this.start = start;
    this.firstPage = start / PAGE_SIZE;
    let end = 0;
    for (const { address, length } of segments) {
      this.#addresses.push(address - end);
      end += length;
      this.#ends.push(end);
    }
    this.pages = Math.floor(end / PAGE_SIZE);
  }

  /** DMA address of page `page` of the buffer, which must be mapped. */
  address(page: number): number {
    const offset = (page - this.firstPage) * PAGE_SIZE;
    let i = 0;
    while (this.#ends[i]! <= offset) i++;
    return this.#addresses[i]! + offset;
  }
}
