import { i32, kmemSlab, type Machine, type Mem, orUndo, ref, spinLock, spinUnlock, struct, u53 } from '@dmabuf-emu/shm';
import { FunctionStruct } from '../config-space/function-state.ts';
import { countSetBits, findClearRun, nextClearBit, writeBits } from '../memory/bit-runs.ts';
import { PAGE_SIZE } from '../memory/page.ts';

const F = FunctionStruct;
const RootStruct = struct('pci.p2pmem', { lock: i32() });

/** One range of a BAR that pages are given out of. @kernel gen_pool_chunk */
const ChunkStruct = struct('p2pmem_chunk', {
  /** The range that was added before this one. */
  next: ref(),
  start: u53(),
  /** Bus address of the first page. */
  busStart: u53(),
  pages: i32(),
  bitmap: ref(),
});
const C = ChunkStruct;

/** A range of a pool. */
export interface PoolChunk {
  /** Physical address. */
  readonly start: number;
  readonly pages: number;
  /** Pages given out. */
  readonly used: number;
}

/**
 * Gives out pages of a function's BARs, lowest first in the range that was added last, as the kernel's pools do: a bitmap for
 * each range, all in the arena.
 *
 * @kernel gen_pool
 */
export class P2pmemPool {
  readonly #machine: Machine;
  readonly #mem: Mem;
  readonly #lock: number;
  readonly #p: number;

  /** @param p - word of the function's state */
  constructor(machine: Machine, p: number) {
    this.#machine = machine;
    this.#mem = machine.mem;
    this.#lock = machine.root('pci.p2pmem', RootStruct.$words) + RootStruct.lock.at;
    this.#p = p;
  }

  /**
   * Adds a range of whole pages. @returns false, and nothing changes, when part of it was added already
   * @throws KernelError ENOMEM, also for more than 128 GiB
   */
  add(start: number, busStart: number, pages: number): boolean {
    const slab = this.#machine.slab(C);
    const bitmaps = kmemSlab(this.#machine, wordsOf(pages));
    const chunk = slab.alloc('p2pmem_chunk');
    const bitmap = orUndo(
      () => bitmaps.alloc('p2pmem_bitmap'),
      () => slab.free(chunk, 'p2pmem_chunk'),
    );
    const c = slab.at(chunk);
    C.bitmap.set(this.#mem, c, bitmap);
    C.start.set(this.#mem, c, start);
    C.busStart.set(this.#mem, c, busStart);
    C.pages.set(this.#mem, c, pages);
    const added = this.#locked(() => {
      if (this.#overlaps(start, pages)) return false;
      C.next.set(this.#mem, c, F.p2pmemChunks.load(this.#mem, this.#p));
      F.p2pmemChunks.store(this.#mem, this.#p, chunk);
      return true;
    });
    if (!added) {
      bitmaps.free(bitmap, 'p2pmem_bitmap');
      slab.free(chunk, 'p2pmem_chunk');
    }
    return added;
  }

  /** Takes pages in a row. @returns the physical address of the first, 0 when no range has so many */
  alloc(pages: number): number {
    return this.#locked(() => {
      for (const c of this.#chunks()) {
        const bits = this.#bitsOf(c);
        const run = findClearRun(this.#mem.i32, bits, 0, C.pages.get(this.#mem, c), pages);
        if (run < 0) continue;
        writeBits(this.#mem.i32, bits, run, pages, true);
        return C.start.get(this.#mem, c) + run * PAGE_SIZE;
      }
      return 0;
    });
  }

  /** Gives pages back. @returns false, and nothing changes, when not all of them are of one range and were given out */
  free(paddr: number, pages: number): boolean {
    return this.#locked(() => {
      const c = this.#chunkOf(paddr, pages);
      if (c === 0) return false;
      const bits = this.#bitsOf(c);
      const bit = (paddr - C.start.get(this.#mem, c)) / PAGE_SIZE;
      if (nextClearBit(this.#mem.i32, bits, bit, bit + pages) !== bit + pages) return false;
      writeBits(this.#mem.i32, bits, bit, pages, false);
      return true;
    });
  }

  /** The bus address behind a physical address; -1 when it is in no range. */
  busAddressOf(paddr: number): number {
    const c = this.#chunkOf(paddr - (paddr % PAGE_SIZE), 1);
    return c === 0 ? -1 : paddr - C.start.get(this.#mem, c) + C.busStart.get(this.#mem, c);
  }

  /** The ranges, newest first. */
  list(): readonly PoolChunk[] {
    return [...this.#chunks()].map((c) => ({
      start: C.start.get(this.#mem, c),
      pages: C.pages.get(this.#mem, c),
      used: countSetBits(this.#mem.i32, this.#bitsOf(c), wordsOf(C.pages.get(this.#mem, c))),
    }));
  }

  /** Frees the pool itself. */
  destroy(): void {
    const slab = this.#machine.slab(C);
    let chunk = F.p2pmemChunks.exchange(this.#mem, this.#p, 0);
    while (chunk !== 0) {
      const c = slab.at(chunk);
      const next = C.next.get(this.#mem, c);
      const words = wordsOf(C.pages.get(this.#mem, c));
      kmemSlab(this.#machine, words).free(C.bitmap.get(this.#mem, c), 'p2pmem_bitmap');
      slab.free(chunk, 'p2pmem_chunk');
      chunk = next;
    }
  }

  #overlaps(start: number, pages: number): boolean {
    return this.list().some((chunk) => start < end(chunk) && chunk.start < start + pages * PAGE_SIZE);
  }

  *#chunks(): Iterable<number> {
    const slab = this.#machine.slab(C);
    for (let chunk = F.p2pmemChunks.load(this.#mem, this.#p); chunk !== 0;) {
      const c = slab.at(chunk);
      yield c;
      chunk = C.next.get(this.#mem, c);
    }
  }

  #chunkOf(paddr: number, pages: number): number {
    for (const c of this.#chunks()) {
      const start = C.start.get(this.#mem, c);
      const inside = paddr >= start && paddr + pages * PAGE_SIZE <= start + C.pages.get(this.#mem, c) * PAGE_SIZE;
      if (inside && paddr % PAGE_SIZE === 0) return c;
    }
    return 0;
  }

  /** Word of a range's first bit. */
  #bitsOf(c: number): number {
    return kmemSlab(this.#machine, wordsOf(C.pages.get(this.#mem, c))).at(C.bitmap.get(this.#mem, c)) + 1;
  }

  #locked<T>(fn: () => T): T {
    spinLock(this.#machine, this.#lock);
    try {
      return fn();
    } finally {
      spinUnlock(this.#machine, this.#lock);
    }
  }
}

function wordsOf(pages: number): number {
  return Math.ceil(pages / 32);
}

function end({ start, pages }: PoolChunk): number {
  return start + pages * PAGE_SIZE;
}
