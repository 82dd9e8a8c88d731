import {
  atomicCas,
  atomicExchange,
  atomicLoad,
  atomicStore,
  i32,
  type Machine,
  spinLock,
  spinUnlock,
  struct,
} from '@dmabuf-emu/shm';
import { PAGE_SIZE } from './page.ts';
import type { PagePool } from './page-pool.ts';
import type { RunList } from './run-list.ts';

const LEAF_SHIFT = 10;
const LEAF_FRAMES = 1 << LEAF_SHIFT;
const LEAF_MASK = LEAF_FRAMES - 1;

const BackingStruct = struct('pci.backing', {
  lock: i32(),
  /** A page that stays zero: what a frame that nobody ever wrote reads as. */
  zeroPage: i32(),
});

/**
 * Frame number to the page of the arena that stands behind it: a table of tables, shared by all threads. A frame gets its
 * page on the first write; until then it reads as zeros.
 */
export class BackingStore {
  readonly #machine: Machine;
  readonly #i32: Int32Array;
  readonly #pool: PagePool;
  readonly #at: number;
  readonly #directory: number;
  readonly #frames: number;

  /** @param frames - one more than the highest frame number */
  constructor(machine: Machine, pool: PagePool, frames: number) {
    this.#machine = machine;
    this.#i32 = machine.mem.i32;
    this.#pool = pool;
    this.#frames = frames;
    this.#at = machine.root('pci.backing', BackingStruct.$words);
    this.#directory = machine.root('pci.frames', Math.ceil(frames / LEAF_FRAMES) + 1);
  }

  /** Byte offset of the table that a frame's upper bits index; its entries are words of tables of page numbers. */
  get directoryByte(): number {
    return this.#directory * 4;
  }

  /** Byte offset of the page behind a frame; 0 when it was never written. */
  offsetOf(frame: number): number {
    return pageBehind(this.#i32, this.#directory, frame) * PAGE_SIZE;
  }

  /** Byte offset of a page that is all zeros. Never write to it. */
  get zeroPage(): number {
    const { mem } = this.#machine;
    const page = BackingStruct.zeroPage.load(mem, this.#at);
    return (page !== 0 ? page : this.#makeZeroPage()) * PAGE_SIZE;
  }

  /**
   * Puts pages behind `count` frames, in a row where possible, and leaves those alone that have one.
   * @throws KernelError ENOMEM when there are too few pages; those put in place stay
   */
  back(frame: number, count: number): void {
    if (frame < 0 || frame + count > this.#frames)
      throw new RangeError(`frames ${frame}+${count} outside 0..${this.#frames}`);
    const words = this.#machine.mem.i32;
    const end = frame + count;
    for (let at = frame; at < end;) {
      const slot = this.#leaf(at) + (at & LEAF_MASK);
      const inLeaf = Math.min(end - at, LEAF_FRAMES - (at & LEAF_MASK));
      let missing = 0;
      while (missing < inLeaf && words[slot + missing] === 0) missing++;
      if (missing > 0) this.#backRow(slot, missing);
      at += Math.max(1, missing);
    }
  }

  /**
   * Appends the pieces of the arena behind `length` bytes from `offset` in a frame on.
   * @param write - give every frame its page; otherwise those without one read as zeros
   * @throws KernelError ENOMEM as {@link back}
   */
  resolve(runs: RunList, frame: number, offset: number, length: number, write: boolean): void {
    const words = this.#i32;
    const directory = this.#directory;
    const count = Math.ceil((offset + length) / PAGE_SIZE);
    let left = length;
    let from = offset;
    for (let i = 0; i < count;) {
      let page = pageBehind(words, directory, frame + i);
      if (page === 0) {
        if (write) this.back(frame + i, count - i);
        page = write ? pageBehind(words, directory, frame + i) : this.zeroPage / PAGE_SIZE;
      }
      let next = i + 1;
      while (next < count && pageBehind(words, directory, frame + next) === page + next - i) next++;
      const bytes = Math.min(left, (next - i) * PAGE_SIZE - from);
      runs.push(page * PAGE_SIZE + from, bytes);
      left -= bytes;
      from = 0;
      i = next;
    }
  }

  /** Takes the pages behind `count` frames away: they read as zeros again. Nobody may use them at the time. */
  discard(frame: number, count: number): void {
    const { mem } = this.#machine;
    for (let at = frame; at < frame + count; at++) {
      const leaf = mem.i32[this.#directory + (at >>> LEAF_SHIFT)]!;
      const page = leaf === 0 ? 0 : atomicExchange(mem, leaf + (at & LEAF_MASK), 0);
      if (page !== 0) this.#pool.give(page);
    }
  }

  #backRow(slot: number, count: number): void {
    const { mem } = this.#machine;
    if (this.#machine.faults.armed) this.#machine.faults.check('memory.page');
    const row = count > 1 ? this.#pool.takeRow(count) : 0;
    for (let i = 0; i < count; i++) {
      const page = row === 0 ? this.#pool.takeOne() : row + i;
      if (atomicCas(mem, slot + i, 0, page) !== 0) this.#pool.give(page);
    }
  }

  #leaf(frame: number): number {
    const { mem } = this.#machine;
    const entry = this.#directory + (frame >>> LEAF_SHIFT);
    const leaf = atomicLoad(mem, entry);
    if (leaf !== 0) return leaf;
    return this.#locked(() => {
      const again = atomicLoad(mem, entry);
      if (again !== 0) return again;
      const made = this.#machine.arena.bump(LEAF_FRAMES, 'memory.frames');
      atomicStore(mem, entry, made);
      return made;
    });
  }

  #makeZeroPage(): number {
    const { mem } = this.#machine;
    return this.#locked(() => {
      const again = BackingStruct.zeroPage.load(mem, this.#at);
      if (again !== 0) return again;
      const page = this.#pool.takeOne();
      BackingStruct.zeroPage.store(mem, this.#at, page);
      return page;
    });
  }

  #locked<T>(fn: () => T): T {
    const lock = this.#at + BackingStruct.lock.at;
    spinLock(this.#machine, lock);
    try {
      return fn();
    } finally {
      spinUnlock(this.#machine, lock);
    }
  }
}

/** Page of the arena behind a frame; 0 when it was never written. */
function pageBehind(words: Int32Array, directory: number, frame: number): number {
  const leaf = words[directory + (frame >>> LEAF_SHIFT)]!;
  return leaf === 0 ? 0 : words[leaf + (frame & LEAF_MASK)]!;
}
