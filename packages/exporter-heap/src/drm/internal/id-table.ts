import {
  i32,
  KernelError,
  kmemSlab,
  type Machine,
  orUndo,
  ref,
  struct,
  withSpin,
  words,
  type WordsField,
} from '@dmabuf-emu/shm';

/** Values of a table, from id 0 on: words 1 to `size` of a block. Found by one word, so that a task that dies half-way leaves it whole. */
const IdBlockStruct = struct('idr_layer', { size: i32(), block: ref() });
const B = IdBlockStruct;

/** Words of the field: its lock, its values. */
const LOCK = 0;
const VALUES = 1;
const FIELD_WORDS = 2;

const FIRST_SIZE = 15;
/** Most ids of a table: what fits in the largest block. */
const MAX_SIZE = (1 << 20) - 1;
/** Value of an id that is taken and means nothing. @kernel idr_replace */
const NOTHING = -1;

/** Field of a struct for an {@link IdTable}. */
export const idTable = (): WordsField => words(FIELD_WORDS);

/**
 * Ids to values that are neither 0 nor -1; a new id is the lowest from 1 that is free. A handle over a field.
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
      while (this.#value(id) !== 0) id++;
      this.#grow(id, site);
      this.#set(id, value);
      return id;
    });
  }

  /** Takes an id that means nothing until {@link set}; false when it is taken. @throws KernelError ENOMEM */
  reserve(id: number, site: string): boolean {
    return this.#locked(() => {
      if (this.#value(id) !== 0) return false;
      this.#grow(id, site);
      this.#set(id, NOTHING);
      return true;
    });
  }

  /** Gives an id that is taken another value. @kernel idr_replace */
  set(id: number, value: number): void {
    this.#locked(() => this.#set(id, value));
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
      for (let id = 0; id < this.#size; id++) {
        const value = this.#value(id);
        if (value !== 0 && value !== NOTHING) found.push([id, value]);
      }
      return found;
    });
  }

  /** Gives the memory back; nobody else may use the table any more. @kernel idr_destroy */
  destroy(): void {
    const values = this.#values;
    this.#machine.mem.i32[this.#at + VALUES] = 0;
    this.#free(values, 'idr_destroy');
  }

  get #values(): number {
    return this.#machine.mem.i32[this.#at + VALUES]!;
  }

  get #size(): number {
    const values = this.#values;
    return values === 0 ? 0 : B.size.get(this.#machine.mem, this.#machine.slab(B).at(values));
  }

  #word(id: number): number {
    const p = this.#machine.slab(B).at(this.#values);
    const { mem } = this.#machine;
    return kmemSlab(this.#machine, B.size.get(mem, p)).at(B.block.get(mem, p)) + 1 + id;
  }

  #value(id: number): number {
    return id >= 0 && id < this.#size ? this.#machine.mem.i32[this.#word(id)]! : 0;
  }

  #set(id: number, value: number): void {
    this.#machine.mem.i32[this.#word(id)] = value;
  }

  /** Makes room for `id`. */
  #grow(id: number, site: string): void {
    const size = this.#size;
    if (id < size) return;
    if (id >= MAX_SIZE)
      throw new KernelError('ENOMEM', site, `${id} is above the ${MAX_SIZE} ids that a table may have`);
    let wanted = Math.max(size, FIRST_SIZE);
    while (wanted <= id) wanted = wanted * 2 + 1;
    const { mem } = this.#machine;
    const before = this.#values;
    const from = before === 0 ? 0 : this.#word(0);
    const values = this.#allocate(wanted, site);
    const block = B.block.get(mem, this.#machine.slab(B).at(values));
    if (before !== 0) mem.i32.copyWithin(kmemSlab(this.#machine, wanted).at(block) + 1, from, from + size);
    mem.i32[this.#at + VALUES] = values;
    this.#free(before, site);
  }

  #allocate(size: number, site: string): number {
    const slab = this.#machine.slab(B);
    const { mem } = this.#machine;
    const values = slab.alloc(site);
    B.size.set(mem, slab.at(values), size);
    orUndo(
      () => B.block.set(mem, slab.at(values), kmemSlab(this.#machine, size).alloc(site)),
      () => slab.free(values, site),
    );
    return values;
  }

  #free(values: number, site: string): void {
    if (values === 0) return;
    const { mem } = this.#machine;
    const p = this.#machine.slab(B).at(values);
    kmemSlab(this.#machine, B.size.get(mem, p)).free(B.block.get(mem, p), site);
    this.#machine.slab(B).free(values, site);
  }

  #locked<T>(fn: () => T): T {
    return withSpin(this.#machine, this.#at + LOCK, fn);
  }
}
