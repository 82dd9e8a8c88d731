import { atomicCas, atomicLoad, atomicOr, type Mem } from '@dmabuf-emu/shm';

/** The bytes of one function's configuration space in the arena. Single dwords are read and changed at once. */
export class FunctionRegisters {
  readonly #mem: Mem;
  readonly #at: number;

  /** @param at - word where they begin */
  constructor(mem: Mem, at: number) {
    this.#mem = mem;
    this.#at = at;
  }

  /** Reads 1, 2 or 4 bytes inside a dword. */
  read(offset: number, size: 1 | 2 | 4): number {
    const shifted = atomicLoad(this.#mem, this.#word(offset)) >>> ((offset & 3) * 8);
    return size === 4 ? shifted : shifted & (size === 2 ? 0xffff : 0xff);
  }

  /** Replaces the bits of `mask` in the dword at `offset`, of which others may change at any time. Returns the old dword. */
  replace(offset: number, mask: number, value: number): number {
    const word = this.#word(offset);
    for (let old = atomicLoad(this.#mem, word); ;) {
      const seen = atomicCas(this.#mem, word, old, (old & ~mask) | (value & mask));
      if (seen === old) return old;
      old = seen;
    }
  }

  /** Sets bits of the dword at `offset`; returns the old dword. */
  set(offset: number, bits: number): number {
    return atomicOr(this.#mem, this.#word(offset), bits);
  }

  /** Replaces all of it. Nobody may use it at the time. */
  load(bytes: Uint8Array): void {
    this.#mem.write(this.#at * 4, bytes);
  }

  #word(offset: number): number {
    return this.#at + (offset >>> 2);
  }
}
