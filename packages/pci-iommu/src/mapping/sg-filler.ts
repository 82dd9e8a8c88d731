import type { SgTable } from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';
import { PAGE_SIZE } from '../memory/page.ts';
import { mappingQuirk } from './quirks.ts';

const UINT_MAX = 0xffff_ffff;
/** Longest entry: what fits into 32 bits and is page aligned. @kernel MAX_SG_ENT_SZ */
const MAX_ENTRY_BYTES = UINT_MAX + 1 - PAGE_SIZE;

/** Splits ranges into entries that an sg table can hold, and writes them. @kernel calc_sg_nents, fill_sg_entry */
export class SgFiller {
  readonly #chunk: number;
  readonly #wraps: boolean;
  #cursor = 0;

  constructor(machine: Machine) {
    this.#chunk = mappingQuirk(machine, 'mapping.chunkUintMax') ? UINT_MAX : MAX_ENTRY_BYTES;
    this.#wraps = mappingQuirk(machine, 'mapping.chunkAddress32');
  }

  /** Entries that ranges of these lengths need; 0 when a 32-bit counter does not hold that many. */
  count(lengths: readonly number[]): number {
    const total = lengths.reduce((sum, length) => sum + Math.ceil(length / this.#chunk), 0);
    return total > UINT_MAX ? 0 : total;
  }

  /** Entries written so far. */
  get cursor(): number {
    return this.#cursor;
  }

  /** Appends the entries of one range. */
  add(sgt: SgTable, address: number, length: number): void {
    let left = length;
    for (let i = 0; left > 0; i++) {
      const bytes = Math.min(left, this.#chunk);
      const offset = i * this.#chunk;
      sgt.setEntry(this.#cursor++, address + (this.#wraps ? offset % 2 ** 32 : offset), bytes);
      left -= bytes;
    }
  }

  /** The ranges whose entries a table holds: entries of full length are joined with what follows them. */
  *ranges(sgt: SgTable, entries: number): Generator<{ address: number; length: number }> {
    for (let i = 0; i < entries;) {
      const address = sgt.address(i);
      let length = sgt.length(i);
      while (sgt.length(i++) === this.#chunk && i < entries && sgt.address(i) === address + length)
        length += sgt.length(i);
      if (length > 0) yield { address, length };
    }
  }
}
