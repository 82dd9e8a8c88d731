import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { isKernelError } from '@dmabuf-emu/shm';
import { pagePaddr } from './page.ts';
import { ramOf } from './page-bytes.ts';
import type { Shmem } from './shmem.ts';
import { findPage } from './shmem-pages.ts';

/** One page's part of a range of bytes. */
interface Piece {
  readonly index: number;
  readonly within: number;
  readonly done: number;
  readonly count: number;
}

/** Copies bytes out; holes read as zeros and stay holes. @kernel shmem_file_read_iter @locks takes pagesLock, page by page */
export function readShmem(shmem: Shmem, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const ram = ramOf(shmem.machine);
  for (const { index, within, done, count } of pieces(offset, length)) {
    shmem.pagesLock.with(() => {
      const page = shmem.tree.load(index);
      if (page !== 0) bytes.set(ram.cpuRead(pagePaddr(shmem.machine, page) + within, count), done);
    });
  }
  return bytes;
}

/**
 * Stores bytes inside the file, page by page, and returns how many.
 * @kernel shmem_file_write_iter
 * @locks takes pagesLock, page by page
 * @throws KernelError ENOMEM when not even the first page could be had
 */
export function writeShmem(shmem: Shmem, offset: number, bytes: Uint8Array): number {
  const ram = ramOf(shmem.machine);
  for (const { index, within, done, count } of pieces(offset, bytes.length)) {
    try {
      shmem.pagesLock.with(() => {
        const paddr = pagePaddr(shmem.machine, findPage(shmem, index));
        ram.cpuWrite(paddr + within, bytes.subarray(done, done + count));
      });
    } catch (error) {
      if (done > 0 && isKernelError(error, 'ENOMEM')) return done;
      throw error;
    }
  }
  return bytes.length;
}

/** Zeroes the bytes from `from` to `end` of pages that are there. @locks pagesLock held */
export function zeroRange(shmem: Shmem, from: number, end: number): void {
  const { machine } = shmem;
  const ram = ramOf(machine);
  for (const { index, within, count } of pieces(from, Math.max(0, end - from))) {
    const page = shmem.tree.load(index);
    if (page === 0) continue;
    const paddr = pagePaddr(machine, page);
    if (ram.backing(ram.map.frameOf(paddr)) !== 0) ram.cpuFill(paddr + within, 0, count);
  }
}

/** The parts of a range of bytes, page by page. */
function* pieces(offset: number, length: number): Generator<Piece> {
  for (let done = 0; done < length;) {
    const index = Math.floor((offset + done) / PAGE_SIZE);
    const within = offset + done - index * PAGE_SIZE;
    const count = Math.min(PAGE_SIZE - within, length - done);
    yield { index, within, done, count };
    done += count;
  }
}
