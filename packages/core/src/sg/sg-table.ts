import { kmemSlab, type Machine, type Slab, UsageError } from '@dmabuf-emu/shm';
import type { DmaDirection } from './dma-direction.ts';
import { SgTableStruct as T } from './sg-table-struct.ts';

/** Words of one entry: f64 address, f64 length. */
const ENTRY_WORDS = 4;
/** Words from the start of a kmem slot to the first entry: header, then alignment for f64. */
const ENTRIES_AT = 2;

/** One contiguous DMA address range. */
export interface SgEntry {
  readonly address: number;
  readonly length: number;
}

/** A list of DMA address ranges, as an exporter's `map` returns it. A handle over the struct behind `ref`. @kernel sg_table */
export class SgTable {
  readonly machine: Machine;
  readonly ref: number;

  constructor(machine: Machine, ref: number) {
    this.machine = machine;
    this.ref = ref;
  }

  /**
   * A table with room for `nents` entries, all zero.
   * @param site static name of the caller, for fault injection.
   * @kernel sg_alloc_table
   * @throws KernelError ENOMEM
   */
  static alloc(machine: Machine, nents: number, site: string): SgTable {
    if (!Number.isInteger(nents) || nents < 0) throw new UsageError(`an sg table has 0 or more entries, got ${nents}`);
    const slab = machine.slab(T);
    const table = slab.alloc(site);
    const p = slab.at(table);
    if (nents > 0) {
      try {
        T.entries.set(machine.mem, p, entriesSlab(machine, nents).alloc(site));
      } catch (error) {
        slab.free(table, site);
        throw error;
      }
    }
    T.nents.set(machine.mem, p, nents);
    T.capacity.set(machine.mem, p, nents);
    T.ownerTask.set(machine.mem, p, machine.tid);
    return new SgTable(machine, table);
  }

  /** A table with these entries. @throws KernelError ENOMEM */
  static from(machine: Machine, entries: readonly SgEntry[], site: string): SgTable {
    const table = SgTable.alloc(machine, entries.length, site);
    entries.forEach(({ address, length }, i) => table.setEntry(i, address, length));
    return table;
  }

  static of(machine: Machine, ref: number): SgTable {
    return new SgTable(machine, ref);
  }

  /** Frees the table and its entries. The exporter does so in its `unmap`. @kernel sg_free_table */
  free(site = 'sg_free_table'): void {
    const { machine } = this;
    const { mem } = machine;
    const slab = machine.slab(T);
    const p = slab.at(this.ref);
    const entries = T.entries.get(mem, p);
    T.ownerTask.set(mem, p, 0);
    if (entries !== 0) entriesSlab(machine, T.capacity.get(mem, p)).free(entries, site);
    slab.free(this.ref, site);
  }

  /** Whether the table still exists. */
  get alive(): boolean {
    return this.machine.slab(T).tryAt(this.ref) !== 0;
  }

  /** DMA entries: all that an importer may look at. */
  get nents(): number {
    return T.nents.get(this.machine.mem, this.#p);
  }

  /** Shrinks the view, or grows it again up to what was allocated. @throws UsageError out of that range */
  set nents(count: number) {
    const p = this.#p;
    const capacity = T.capacity.get(this.machine.mem, p);
    if (!Number.isInteger(count) || count < 0 || count > capacity) {
      throw new UsageError(`nents of this sg table must be 0 to ${capacity}, got ${count}`);
    }
    T.nents.set(this.machine.mem, p, count);
  }

  /** CPU-side entries; private to the exporter. */
  get origNents(): number {
    return T.origNents.get(this.machine.mem, this.#p);
  }

  set origNents(count: number) {
    T.origNents.set(this.machine.mem, this.#p, count);
  }

  /** Bus address of entry `i`. @kernel sg_dma_address */
  address(i: number): number {
    return this.machine.mem.f64[this.#entry(i)]!;
  }

  /** Length of entry `i` in bytes. @kernel sg_dma_len */
  length(i: number): number {
    return this.machine.mem.f64[this.#entry(i) + 1]!;
  }

  setEntry(i: number, address: number, length: number): void {
    const { f64 } = this.machine.mem;
    const at = this.#entry(i);
    f64[at] = address;
    f64[at + 1] = length;
  }

  entries(): SgEntry[] {
    return Array.from({ length: this.nents }, (_, i) => ({ address: this.address(i), length: this.length(i) }));
  }

  /** Word of the first entry (f64 address, f64 length each), for loops that are in a hurry; 0 when there is none. */
  get entriesAt(): number {
    const p = this.#p;
    const block = T.entries.get(this.machine.mem, p);
    return block === 0 ? 0 : entriesSlab(this.machine, T.capacity.get(this.machine.mem, p)).at(block) + ENTRIES_AT;
  }

  /** The exporter's word for this mapping. */
  get priv(): number {
    return this.privWord(0);
  }

  set priv(value: number) {
    this.setPrivWord(0, value);
  }

  /** One of four words that belong to the exporter. */
  privWord(i: 0 | 1 | 2 | 3): number {
    return T.privWords.get(this.machine.mem, this.#p, i);
  }

  setPrivWord(i: 0 | 1 | 2 | 3, value: number): void {
    T.privWords.set(this.machine.mem, this.#p, i, value);
  }

  /** One of two numbers exact to 2^53 that belong to the exporter: an IOVA and its size, say. */
  privNumber(i: 0 | 1): number {
    return (i === 0 ? T.privNumber0 : T.privNumber1).get(this.machine.mem, this.#p);
  }

  setPrivNumber(i: 0 | 1, value: number): void {
    (i === 0 ? T.privNumber0 : T.privNumber1).set(this.machine.mem, this.#p, value);
  }

  /** Attachment whose live mapping this is; 0 when it is none. */
  get attachment(): number {
    return T.attachment.get(this.machine.mem, this.#p);
  }

  /** Direction it was mapped for. */
  get direction(): DmaDirection {
    return T.direction.get(this.machine.mem, this.#p) as DmaDirection;
  }

  /** Task that mapped it. */
  get ownerTask(): number {
    return T.ownerTask.get(this.machine.mem, this.#p);
  }

  /** Whether it is mapped now. */
  get mapped(): boolean {
    const p = this.machine.slab(T).tryAt(this.ref);
    return p !== 0 && T.maps.get(this.machine.mem, p) > 0;
  }

  get #p(): number {
    return this.machine.slab(T).at(this.ref);
  }

  /** Index into `f64` of entry `i`. */
  #entry(i: number): number {
    const p = this.#p;
    const capacity = T.capacity.get(this.machine.mem, p);
    if (!(i >= 0 && i < capacity))
      throw new UsageError(`this sg table has entries 0 to ${capacity - 1}, asked for ${i}`);
    const at = entriesSlab(this.machine, capacity).at(T.entries.get(this.machine.mem, p)) + ENTRIES_AT;
    return (at + i * ENTRY_WORDS) >>> 1;
  }
}

function entriesSlab(machine: Machine, nents: number): Slab {
  return kmemSlab(machine, nents * ENTRY_WORDS + ENTRIES_AT - 1);
}
