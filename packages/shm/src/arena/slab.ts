import { KernelError } from '../errors/kernel-error.ts';
import type { Machine } from '../machine/machine.ts';
import { HEADER_AT, MachineHeader, MAX_TASKS } from '../machine/header.ts';
import type { Mem } from '../memory/mem.ts';
import type { Movers } from '../memory/movers.ts';
import { geometryOf, INDEX_BITS, INDEX_MASK, MAGAZINE, MAX_CHUNKS } from '../memory/slots.ts';
import { spinLock, spinUnlock } from '../sync/spin.ts';
import { syncPoint } from '../sync/sync-point.ts';
import type { StructInfo } from './struct.ts';

export { INDEX_MASK } from '../memory/slots.ts';

const CHUNK_WORDS = 32768;
const MAX_CHUNK_SLOTS = 4096;
/** Slots that move between a task's magazine and the shared depot at a time. */
const BATCH = MAGAZINE / 2;

const CTL_CHUNKS = 0;
const CTL_LOCK = 1;
const CTL_DEPOT = 2;
const CTL_DIR = 16;
const CTL_MAGS = CTL_DIR + MAX_CHUNKS;
const CTL_WORDS = CTL_MAGS + MAX_TASKS + 1;

/** Words that every slot of a debugging machine has beside it: site and task of the last allocation or free. */
const DEBUG_WORDS = 2;
const POISON = 0x6b6b6b6b;
/** Word 3 of a slot survives its freeing: a type-stable struct keeps its reference count there, 0 when it is freed. */
const COUNT_WORD = 3;
const POISON_FROM = COUNT_WORD + 1;
const FAULT_MODE = HEADER_AT + MachineHeader.faultMode.at;

/**
 * A table of equal structs in the arena. A *ref* is index (22 bits) and generation (10 bits, odd while live) of a slot, so a
 * stale ref is detected. Allocation takes from the task's own magazine; magazines exchange batches of 32 with a lock-free depot.
 */
export class Slab {
  readonly machine: Machine;
  readonly struct: StructInfo;
  readonly #mem: Mem;
  readonly #movers: Movers;
  readonly #ctl: number;
  readonly #dir: number;
  readonly #geometry: number;
  readonly #words: number;
  readonly #shift: number;
  readonly #mask: number;
  readonly #debug: boolean;
  readonly #bases = new Int32Array(MAX_CHUNKS);
  /** Word of the task's magazine, 0 until it is made on first use. */
  #mag = 0;

  constructor(machine: Machine, declared: StructInfo) {
    this.machine = machine;
    this.struct = declared;
    this.#mem = machine.mem;
    this.#movers = machine.mem.movers;
    this.#words = declared.$words;
    this.#debug = machine.options.debugObjects;
    this.#ctl = machine.root(`slab:${declared.$name}:${declared.$words}`, CTL_WORDS);
    let shift = 0;
    while (2 << shift <= MAX_CHUNK_SLOTS && (2 << shift) * this.#words <= CHUNK_WORDS) shift++;
    this.#shift = shift;
    this.#mask = (1 << shift) - 1;
    this.#dir = this.#ctl + CTL_DIR;
    this.#geometry = geometryOf(this.#words, shift);
  }

  /**
   * A zeroed live slot.
   * @param site static name of the caller, for fault injection and reports.
   * @throws KernelError ENOMEM when the arena is full or a fault is injected.
   */
  alloc(site: string): number {
    const slot = this.allocRaw(site);
    const p = this.#slotAt(slot & INDEX_MASK);
    const { i32 } = this.#mem;
    for (let at = p + 1, end = p + this.#words; at < end; at++) i32[at] = 0;
    return slot;
  }

  /** Like {@link alloc}, with the words behind the header left as they were: the caller sets every one. */
  allocRaw(site: string): number {
    syncPoint('slab.alloc');
    if (this.#mem.i32[FAULT_MODE] !== 0) this.machine.faults.check(site);
    if (this.#debug) this.#markNext(site);
    const slot = this.#movers.slotTake(this.#dir, this.#geometry, this.#mag, 0);
    if (slot !== 0) return slot;
    this.#prepare(site);
    return this.#movers.slotTake(this.#dir, this.#geometry, this.#mag, 0);
  }

  /**
   * A live slot of a struct of 8 words, filled: `low` in the header, words 1 to 3, a double, and zeros. Whoever tries an old
   * ref knows the slot from its word 3, which is written last.
   * @throws KernelError ENOMEM
   */
  make(site: string, low: number, word1: number, word2: number, word3: number, value: number): number {
    syncPoint('slab.alloc');
    if (this.#mem.i32[FAULT_MODE] !== 0) this.machine.faults.check(site);
    if (this.#debug) this.#markNext(site);
    const { slotMake } = this.#movers;
    const slot = slotMake(this.#dir, this.#geometry, this.#mag, low, word1, word2, word3, value);
    if (slot !== 0) return slot;
    this.#prepare(site);
    return slotMake(this.#dir, this.#geometry, this.#mag, low, word1, word2, word3, value);
  }

  /** Word of the slot behind `ref`. A null or stale ref is a BUG (`use-after-free`) that names who freed it. */
  at(ref: number): number {
    const p = this.#movers.slotAt(this.#dir, this.#geometry, ref);
    return p !== 0 ? p : this.#gone(ref);
  }

  /** Word of the slot behind `ref`, or 0 when the ref is null or stale. */
  tryAt(ref: number): number {
    return this.#movers.slotAt(this.#dir, this.#geometry, ref);
  }

  /** Word `word` of the slot behind `ref`, which must never be -1: {@link at} and an atomic load in one. */
  load(ref: number, word: number): number {
    const value = this.#movers.slotLoad(this.#dir, this.#geometry, ref, word);
    return value !== -1 ? value : this.#gone(ref);
  }

  /**
   * Adds to word `word` of the slot behind `ref` and returns its old value, which must never be -1: {@link at} and an atomic
   * addition in one. A null or stale ref is a BUG.
   */
  add(ref: number, word: number, value: number): number {
    const old = this.#movers.slotAdd(this.#dir, this.#geometry, ref, word, value);
    return old !== -1 ? old : this.#gone(ref);
  }

  /** Word of the slot with index `index`, which the caller knows to be live. */
  placeOf(index: number): number {
    return this.#slotAt(index);
  }

  /** The current ref of the live slot at word `p`, which must be a slot of this slab with index known to the caller. */
  refOf(index: number): number {
    return ((this.#mem.i32[this.#slotAt(index)]! >>> INDEX_BITS) << INDEX_BITS) | index;
  }

  /** Frees a live slot. Freeing a stale ref is a BUG. */
  free(ref: number, site = 'free'): void {
    syncPoint('slab.free');
    if (this.#mag === 0) this.#magazine();
    if (this.#debug) this.#poison(ref, site);
    if (this.#movers.slotGive(this.#dir, this.#geometry, this.#mag, ref) !== 1) this.#freeSlow(ref);
  }

  /**
   * Sets `bits` in word 3 of a slot of 8 words if none of `busy` is set there, then writes its last double.
   * @returns the old word 3, or -1 when nothing was done; a null or stale ref is no BUG here.
   */
  mark(ref: number, bits: number, busy: number, value: number): number {
    return this.#movers.slotMark(this.#dir, this.#geometry, ref, bits, busy, value);
  }

  /**
   * Takes a reference off word 3, where a type-stable struct counts them from bit 8 on, and returns the old value, which must
   * be neither -1 nor -2. When that was `last` under `mask`, the slot may be freed at once: then the result is -2.
   * A null or stale ref is a BUG.
   */
  put(ref: number, mask: number, last: number): number {
    if (this.#debug || this.#mag === 0) return this.add(ref, COUNT_WORD, -0x100);
    const old = this.#movers.slotPut(this.#dir, this.#geometry, this.#mag, ref, mask, last);
    return old !== -1 ? old : this.#gone(ref);
  }

  /** Refs of all live slots, for checks on a quiet machine. */
  *live(): Generator<number> {
    const slots = this.slots;
    for (let index = 0; index < slots; index++) {
      const header = this.#mem.i32[this.#slotAt(index)]!;
      if (((header >>> INDEX_BITS) & 1) === 1) yield (header & ~INDEX_MASK) | index;
    }
  }

  /** Slots carved so far, live or free. */
  get slots(): number {
    return Atomics.load(this.#mem.i32, this.#ctl + CTL_CHUNKS) << this.#shift;
  }

  /** Who allocated (live slot) or freed (free slot) it last; undefined when the machine keeps no such record. */
  lastTouch(ref: number): { site: string; task: number } | undefined {
    if (!this.#debug) return undefined;
    const at = this.#debugAt(ref & INDEX_MASK);
    return { site: this.machine.string(this.#mem.i32[at]!), task: this.#mem.i32[at + 1]! };
  }

  /**
   * Task that a live slot belongs to: `owner` where its struct names one, else whoever allocated it and may have died before
   * it could write that down. 0 when it is not known.
   */
  ownerOf(ref: number, owner: number): number {
    return owner !== 0 ? owner : (this.lastTouch(ref)?.task ?? 0);
  }

  /** Counts free slots in magazines and depot. The machine must be quiet. */
  countFree(): number {
    const { i32 } = this.#mem;
    let free = 0;
    for (let task = 1; task <= MAX_TASKS; task++) {
      const mag = i32[this.#ctl + CTL_MAGS + task]!;
      if (mag !== 0) free += i32[mag]!;
    }
    const batch = i32[this.#ctl + CTL_DEPOT]! & INDEX_MASK;
    for (let head = batch; head !== 0; head = i32[this.#slotAt(head - 1) + 2]!) {
      for (let slot = head; slot !== 0; slot = i32[this.#slotAt(slot - 1) + 1]!) free++;
    }
    return free;
  }

  /** Gives the magazine of a task that left or died back to the depot. */
  drainMagazine(task: number): void {
    const mag = Atomics.load(this.#mem.i32, this.#ctl + CTL_MAGS + task);
    if (mag !== 0) while (this.#mem.i32[mag]! > 0) this.#flush(mag, Math.min(BATCH, this.#mem.i32[mag]!));
  }

  /** Fills the empty magazine before an allocation. */
  #prepare(site: string): void {
    this.#refill(this.#magazine(), site);
    if (this.#debug) this.#markNext(site);
  }

  #freeSlow(ref: number): void {
    this.at(ref);
    const mag = this.#magazine();
    if (this.#mem.i32[mag] === MAGAZINE) this.#flush(mag, BATCH);
    this.#movers.slotGive(this.#dir, this.#geometry, mag, ref);
  }

  #magazine(): number {
    if (this.#mag === 0) {
      const word = this.#ctl + CTL_MAGS + this.machine.tid;
      let mag = Atomics.load(this.#mem.i32, word);
      if (mag === 0) {
        mag = this.machine.arena.bump(MAGAZINE + 2, 'slab.magazine');
        Atomics.store(this.#mem.i32, word, mag);
      }
      this.#mag = mag;
    }
    return this.#mag;
  }

  #slotAt(index: number): number {
    const chunk = index >>> this.#shift;
    let base = this.#bases[chunk]!;
    if (base === 0) {
      base = Atomics.load(this.#mem.i32, this.#ctl + CTL_DIR + chunk);
      this.#bases[chunk] = base;
    }
    return base + (index & this.#mask) * this.#words;
  }

  #refill(mag: number, site: string): void {
    const { i32 } = this.#mem;
    const depot = this.#ctl + CTL_DEPOT;
    for (;;) {
      syncPoint('slab.depot', depot);
      const top = Atomics.load(i32, depot);
      const head = top & INDEX_MASK;
      if (head === 0) {
        this.#grow(site);
        continue;
      }
      const next = i32[this.#slotAt(head - 1) + 2]! & INDEX_MASK;
      if (Atomics.compareExchange(i32, depot, top, tagged(top, next)) !== top) continue;
      let count = 0;
      for (let slot = head; slot !== 0; slot = i32[this.#slotAt(slot - 1) + 1]!) i32[mag + 1 + count++] = slot - 1;
      i32[mag] = count;
      return;
    }
  }

  #flush(mag: number, count: number): void {
    const { i32 } = this.#mem;
    const from = i32[mag]! - count;
    const indices = Array.from(i32.subarray(mag + 1 + from, mag + 1 + from + count));
    i32[mag] = from;
    this.#pushBatch(indices);
  }

  #pushBatch(indices: readonly number[]): void {
    const { i32 } = this.#mem;
    for (let i = 0; i < indices.length; i++)
      i32[this.#slotAt(indices[i]!) + 1] = i + 1 < indices.length ? indices[i + 1]! + 1 : 0;
    const head = indices[0]! + 1;
    const depot = this.#ctl + CTL_DEPOT;
    for (;;) {
      syncPoint('slab.depot', depot);
      const top = Atomics.load(i32, depot);
      i32[this.#slotAt(head - 1) + 2] = top & INDEX_MASK;
      if (Atomics.compareExchange(i32, depot, top, tagged(top, head)) === top) return;
    }
  }

  #grow(site: string): void {
    const { i32 } = this.#mem;
    const lock = this.#ctl + CTL_LOCK;
    spinLock(this.machine, lock);
    try {
      if ((Atomics.load(i32, this.#ctl + CTL_DEPOT) & INDEX_MASK) !== 0) return;
      const chunk = Atomics.load(i32, this.#ctl + CTL_CHUNKS);
      const slots = 1 << this.#shift;
      if (chunk === MAX_CHUNKS || (chunk + 1) << this.#shift > INDEX_MASK - 1) {
        throw new KernelError('ENOMEM', site, `slab ${this.struct.$name} is at its limit of ${chunk * slots} slots`);
      }
      const base = this.machine.arena.bump(slots * (this.#words + (this.#debug ? DEBUG_WORDS : 0)), site);
      Atomics.store(i32, this.#ctl + CTL_DIR + chunk, base);
      Atomics.store(i32, this.#ctl + CTL_CHUNKS, chunk + 1);
      for (let first = slots - Math.min(BATCH, slots); first >= 0; first -= BATCH) {
        this.#pushBatch(Array.from({ length: Math.min(BATCH, slots) }, (_, i) => (chunk << this.#shift) + first + i));
      }
    } finally {
      spinUnlock(this.machine, lock);
    }
  }

  #debugAt(index: number): number {
    const chunk = index >>> this.#shift;
    const base = this.#slotAt(chunk << this.#shift);
    return base + (1 << this.#shift) * this.#words + (index & this.#mask) * DEBUG_WORDS;
  }

  /** Notes who is about to get the newest slot of the magazine. */
  #markNext(site: string): void {
    const { i32 } = this.#mem;
    const count = i32[this.#mag]!;
    if (count > 0) this.#mark(i32[this.#mag + count]!, site);
  }

  #poison(ref: number, site: string): void {
    const p = this.at(ref);
    // Whatever a task may die at comes before: nobody shall find a slot that is poisoned and live.
    this.#mark(ref & INDEX_MASK, site);
    if (this.#mem.i32[this.#mag] === MAGAZINE) this.#flush(this.#mag, BATCH);
    this.#mem.i32.fill(POISON, p + POISON_FROM, p + this.#words);
  }

  #mark(index: number, site: string): void {
    const at = this.#debugAt(index);
    this.#mem.i32[at] = this.machine.intern(site);
    this.#mem.i32[at + 1] = this.machine.tid;
  }

  #gone(ref: number): never {
    const name = this.struct.$name;
    if (ref === 0) return this.machine.diag.bug('null-ref', `${name}: null reference used`);
    const index = ref & INDEX_MASK;
    const last = index < this.slots ? this.lastTouch(ref) : undefined;
    const who = last === undefined ? '' : `, last touched by task ${last.task} at ${last.site}`;
    return this.machine.diag.bug('use-after-free', `${name} #${index} generation ${ref >>> INDEX_BITS} is gone${who}`);
  }
}

function tagged(old: number, head: number): number {
  return (((old >>> INDEX_BITS) + 1) << INDEX_BITS) | head;
}
