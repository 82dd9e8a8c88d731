import type { SgTable } from '@dmabuf-emu/core';
import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';

/** How a table was cut down to a window, for putting it back. */
export interface Trim {
  /** First entry of the window and how many it has. */
  readonly first: number;
  readonly nents: number;
  /** Bytes cut off the front of the first entry. @kernel first_sg_offset */
  readonly firstOffset: number;
  /** Bytes cut off the end of the last entry. @kernel last_sg_trim */
  readonly lastTrim: number;
}

/** The page-aligned window around `length` bytes at `offset`. */
export function pageWindow(offset: number, length: number): { start: number; end: number } {
  const end = offset + length;
  return { start: offset - (offset % PAGE_SIZE), end: end + ((PAGE_SIZE - (end % PAGE_SIZE)) % PAGE_SIZE) };
}

/**
 * Cuts an exporter's table down, in place, to the bytes [start, end) of the buffer.
 * @kernel ib_umem_dmabuf_map_pages
 */
export function trimTable(table: SgTable, start: number, end: number): Trim {
  const trim = { first: 0, nents: 0, firstOffset: 0, lastTrim: 0 };
  const { nents } = table;
  let at = 0;
  for (let i = 0; i < nents && at < end; i++) {
    const from = at;
    at += table.length(i);
    if (at <= start) continue;
    if (trim.nents++ === 0) {
      trim.first = i;
      trim.firstOffset = start - from;
      if (trim.firstOffset > 0) cut(table, i, trim.firstOffset, 0);
    }
    if (end > at) continue;
    trim.lastTrim = at - end;
    if (trim.lastTrim > 0) cut(table, i, 0, trim.lastTrim);
  }
  return trim;
}

/** Puts the entries back as the exporter made them. @kernel ib_umem_dmabuf_unmap_pages */
export function restoreTable(table: SgTable, { first, nents, firstOffset, lastTrim }: Trim): void {
  if (nents === 0) return;
  if (firstOffset > 0) cut(table, first, -firstOffset, 0);
  if (lastTrim > 0) cut(table, first + nents - 1, 0, -lastTrim);
}

function cut(table: SgTable, i: number, front: number, back: number): void {
  table.setEntry(i, table.address(i) + front, table.length(i) - front - back);
}
