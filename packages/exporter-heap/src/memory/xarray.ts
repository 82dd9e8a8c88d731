import { i32, type I32Field, type Machine, ref, struct, UsageError, words } from '@dmabuf-emu/shm';

/** Slots of a node. @kernel XA_CHUNK_SIZE */
const SLOTS = 64;
/** Enough levels for every page number of a file of 2^53 bytes. */
const LEVELS_MAX = 7;
/** Entries below a node of each level; level 0 is an entry itself. */
const SPAN = Array.from({ length: LEVELS_MAX + 1 }, (_, level) => SLOTS ** level);

const NodeStruct = struct('xa_node', { slots: words(SLOTS), count: i32() });
const N = NodeStruct;

/** Fields of a struct that contains an {@link XArray}. */
export const XARRAY_FIELDS: { readonly xaHead: I32Field; readonly xaLevels: I32Field } = {
  xaHead: ref(),
  xaLevels: i32(),
};
type Fields = typeof XARRAY_FIELDS;

/**
 * Whole numbers to words that are not 0: a tree of nodes of 64 slots, embedded in a struct. Takes no lock: whoever owns the
 * struct does. @kernel xarray
 */
export class XArray {
  readonly #machine: Machine;
  readonly #p: number;
  readonly #fields: Fields;

  /** @param p word of the struct that has {@link XARRAY_FIELDS} */
  constructor(machine: Machine, p: number, fields: Fields) {
    this.#machine = machine;
    this.#p = p;
    this.#fields = fields;
  }

  /** The entry at `index`; 0 when there is none. @kernel xa_load */
  load(index: number): number {
    const slab = this.#machine.slab(N);
    let node = this.#head;
    if (index >= capacity(this.#levels)) return 0;
    for (let level = this.#levels; level > 0 && node !== 0; level--) {
      node = N.slots.get(this.#machine.mem, slab.at(node), slotOf(index, level));
    }
    return node;
  }

  /** Puts `value` at `index`, where nothing is. @kernel xa_insert @throws KernelError ENOMEM; nothing is stored then. */
  insert(index: number, value: number): void {
    const { mem } = this.#machine;
    const slab = this.#machine.slab(N);
    this.#grow(index);
    let node = slab.at(this.#head);
    for (let level = this.#levels; level > 1; level--) {
      const slot = slotOf(index, level);
      let below = N.slots.get(mem, node, slot);
      if (below === 0) {
        below = slab.alloc('xa_node');
        N.slots.set(mem, node, slot, below);
        N.count.set(mem, node, N.count.get(mem, node) + 1);
      }
      node = slab.at(below);
    }
    const slot = slotOf(index, 1);
    if (N.slots.get(mem, node, slot) !== 0) throw new UsageError(`there is an entry at ${index} already`);
    N.slots.set(mem, node, slot, value);
    N.count.set(mem, node, N.count.get(mem, node) + 1);
  }

  /** Takes the entry at `index` out and returns it; 0 when there was none. @kernel xa_erase */
  erase(index: number): number {
    if (index >= capacity(this.#levels)) return 0;
    const erased = this.#erase(this.#head, index, this.#levels);
    if (this.#head !== 0 && this.#isEmpty(this.#head)) this.destroy();
    return erased;
  }

  /** Entries from `from` up to and without `end`, ascending. The caller may erase what it was given. */
  *entries(from = 0, end = Infinity): Generator<readonly [index: number, value: number]> {
    for (let at = this.#next(from, end); at !== undefined; at = this.#next(at[0] + 1, end)) yield at;
  }

  /** Frees the nodes and forgets the entries. @kernel xa_destroy */
  destroy(): void {
    const { mem } = this.#machine;
    if (this.#head !== 0) this.#free(this.#head, this.#levels);
    this.#fields.xaHead.set(mem, this.#p, 0);
    this.#fields.xaLevels.set(mem, this.#p, 0);
  }

  get #head(): number {
    return this.#fields.xaHead.get(this.#machine.mem, this.#p);
  }

  get #levels(): number {
    return this.#fields.xaLevels.get(this.#machine.mem, this.#p);
  }

  #grow(index: number): void {
    const { mem } = this.#machine;
    const slab = this.#machine.slab(N);
    while (index >= capacity(this.#levels)) {
      if (this.#levels === LEVELS_MAX) throw new UsageError(`index ${index} is beyond what an xarray holds`);
      // A node that is empty does for every level.
      if (this.#head === 0 || !this.#isEmpty(this.#head)) {
        const node = slab.alloc('xa_node');
        N.slots.set(mem, slab.at(node), 0, this.#head);
        N.count.set(mem, slab.at(node), this.#head === 0 ? 0 : 1);
        this.#fields.xaHead.set(mem, this.#p, node);
      }
      this.#fields.xaLevels.set(mem, this.#p, this.#levels + 1);
    }
  }

  /** Erases below a node; a node that has become empty is freed by the one above. */
  #erase(node: number, index: number, level: number): number {
    const { mem } = this.#machine;
    const slab = this.#machine.slab(N);
    const p = slab.at(node);
    const slot = slotOf(index, level);
    const below = N.slots.get(mem, p, slot);
    if (below === 0) return 0;
    const erased = level === 1 ? below : this.#erase(below, index, level - 1);
    if (level > 1 && !this.#isEmpty(below)) return erased;
    if (level > 1) slab.free(below, 'xa_node');
    N.slots.set(mem, p, slot, 0);
    N.count.set(mem, p, N.count.get(mem, p) - 1);
    return erased;
  }

  #isEmpty(node: number): boolean {
    return N.count.get(this.#machine.mem, this.#machine.slab(N).at(node)) === 0;
  }

  /** The first entry at or above `index`. */
  #next(index: number, end: number): readonly [number, number] | undefined {
    const { mem } = this.#machine;
    const slab = this.#machine.slab(N);
    for (let at = index; at < Math.min(end, capacity(this.#levels));) {
      let node = this.#head;
      let level = this.#levels;
      for (; level > 0; level--) {
        const below = N.slots.get(mem, slab.at(node), slotOf(at, level));
        if (below === 0) break;
        node = below;
      }
      if (level === 0) return [at, node];
      const span = SPAN[level - 1]!;
      at = (Math.floor(at / span) + 1) * span;
    }
    return undefined;
  }

  #free(node: number, level: number): void {
    const { mem } = this.#machine;
    const slab = this.#machine.slab(N);
    if (level > 1) {
      for (let slot = 0; slot < SLOTS; slot++) {
        const below = N.slots.get(mem, slab.at(node), slot);
        if (below !== 0) this.#free(below, level - 1);
      }
    }
    slab.free(node, 'xa_node');
  }
}

/** Entries that so many levels of nodes hold. */
function capacity(levels: number): number {
  return levels === 0 ? 0 : SPAN[levels]!;
}

function slotOf(index: number, level: number): number {
  return Math.floor(index / SPAN[level - 1]!) % SLOTS;
}
