import { KernelError, kmemSlab, type Machine, type WordsField, words } from '@dmabuf-emu/shm';
import { withSpin } from '../../internal/with-spin.ts';

/** Words of the field: its lock, the block of values, how many fit in it. */
const LOCK = 0;
const BLOCK = 1;
const SIZE = 2;
const FIELD_WORDS = 3;

const FIRST_SIZE = 15;
/** Most ids of a table: what fits in the largest block. */
const MAX_SIZE = (1 << 20) - 1;
/** Value of an id that is taken and means nothing. @kernel idr_replace(..., NULL, ...) */
const NOTHING = -1;

/** Field of a struct for an {@link IdTable}. */
export const idTable = (): WordsField => words(FIELD_WORDS);

/**
 * Ids from 1 to values that are neither 0 nor -1; a new one is the lowest that is free. A handle over a field.
 * Its spin lock is inside. @kernel idr
 */
export class IdTable {
  readonly #machine: Machine;
  readonly #at: number;

  constructor(machine: Machine, p: number, field: WordsField) {
    this.#machine = machine;
    this.#at = p + field.at;
  }

  /** Gives `value` the lowest free id. @kernel idr_alloc @throws KernelError ENOMEM */
  alloc(value: number, site: string): number {
    return this.#locked(() => {
      let id = 1;
      while (id <= this.#size && this.#value(id) !== 0) id++;
      this.#grow(id, site);
      this.#set(id, value);
      return id;
    });
  }

  /** Gives `value` that id; false when it is taken. @throws KernelError ENOMEM */
  allocAt(id: number, value: number, site: string): boolean {
    return this.#locked(() => {
      if (this.#value(id) !== 0) return false;
      this.#grow(id, site);
      this.#set(id, value);
      return true;
    });
  }

  /** The value of an id, 0 for none; `use` sees it with the lock held, so that it can take a reference. @kernel idr_find */
  find(id: number, use?: (value: number) => void): number {
    return this.#locked(() => {
      const value = this.#value(id);
      if (value === 0 || value === NOTHING) return 0;
      use?.(value);
      return value;
    });
  }

  /** Takes the value away and keeps the id; returns it, 0 for none. @kernel idr_replace */
  clear(id: number): number {
    return this.#locked(() => {
      const value = this.#value(id);
      if (value === 0 || value === NOTHING) return 0;
      this.#set(id, NOTHING);
      return value;
    });
  }

  /** Frees the id; returns its value, 0 for none. @kernel idr_remove */
  remove(id: number): number {
    return this.#locked(() => {
      const value = this.#value(id);
      if (value !== 0) this.#set(id, 0);
      return value === NOTHING ? 0 : value;
    });
  }

  /** Ids and values at this moment, ascending. */
  entries(): [id: number, value: number][] {
    return this.#locked(() => {
      const found: [number, number][] = [];
      for (let id = 1; id <= this.#size; id++) {
        const value = this.#value(id);
        if (value !== 0 && value !== NOTHING) found.push([id, value]);
      }
      return found;
    });
  }

  /** Gives the memory back; nobody else may use the table any more. @kernel idr_destroy */
  destroy(): void {
    const { mem } = this.#machine;
    const block = mem.i32[this.#at + BLOCK]!;
    if (block !== 0) kmemSlab(this.#machine, this.#size).free(block, 'idr_destroy');
    mem.i32[this.#at + SIZE] = 0;
    mem.i32[this.#at + BLOCK] = 0;
  }

  get #size(): number {
    return this.#machine.mem.i32[this.#at + SIZE]!;
  }

  #word(id: number): number {
    return kmemSlab(this.#machine, this.#size).at(this.#machine.mem.i32[this.#at + BLOCK]!) + id;
  }

  #value(id: number): number {
    return id >= 1 && id <= this.#size ? this.#machine.mem.i32[this.#word(id)]! : 0;
  }

  #set(id: number, value: number): void {
    this.#machine.mem.i32[this.#word(id)] = value;
  }

  /** Makes room for `id`. The block's words 1 to size are the ids. */
  #grow(id: number, site: string): void {
    const size = this.#size;
    if (id <= size) return;
    if (id > MAX_SIZE)
      throw new KernelError('ENOMEM', site, `${id} is above the ${MAX_SIZE} ids that a table may have`);
    let wanted = Math.max(size, FIRST_SIZE);
    while (wanted < id) wanted = wanted * 2 + 1;
    const { mem } = this.#machine;
    const slab = kmemSlab(this.#machine, wanted);
    const block = slab.alloc(site);
    const old = mem.i32[this.#at + BLOCK]!;
    if (old !== 0) {
      const from = this.#word(1);
      mem.i32.copyWithin(slab.at(block) + 1, from, from + size);
    }
    mem.i32[this.#at + BLOCK] = block;
    mem.i32[this.#at + SIZE] = wanted;
    if (old !== 0) kmemSlab(this.#machine, size).free(old, site);
  }

  #locked<T>(fn: () => T): T {
    return withSpin(this.#machine, this.#at + LOCK, fn);
  }
}
