/** Bits of a ref that are the slot's index; the generation above is odd while the slot is live. */
export const INDEX_BITS = 22;
export const INDEX_MASK = (1 << INDEX_BITS) - 1;
export const GEN_ONE = 1 << INDEX_BITS;
/** Most slots that a magazine holds. */
export const MAGAZINE = 64;
/** Most chunks of a slab, and the length of its directory. */
export const MAX_CHUNKS = 1024;

/**
 * Slots of slabs. `dir` is the word of a slab's chunk directory, `geometry` its {@link geometryOf}, `mag` the word of a
 * task's magazine: a count, then as many indices.
 */
export interface Slots {
  /** Word of the live slot behind `ref`, or 0 when that is null or stale. */
  readonly slotAt: (dir: number, geometry: number, ref: number) => number;
  /** Word `word` of the slot behind `ref`, or -1 when the ref is null or stale. */
  readonly slotLoad: (dir: number, geometry: number, ref: number, word: number) => number;
  /** Adds to word `word` of the slot behind `ref`; returns the old value, or -1 when the ref is null or stale. */
  readonly slotAdd: (dir: number, geometry: number, ref: number, word: number, value: number) => number;
  /** Takes the newest index out of the magazine and makes its slot live, with `low` in the header's low bits; 0 for none. */
  readonly slotTake: (dir: number, geometry: number, mag: number, low: number) => number;
  /** Takes a slot of 8 words and fills it: header, words 1 to 3, a double, a zero double; word 3 last. */
  readonly slotMake: (
    dir: number,
    geometry: number,
    mag: number,
    low: number,
    word1: number,
    word2: number,
    word3: number,
    value: number,
  ) => number;
  /**
   * Sets `bits` in word 3 of a slot of 8 words if none of `busy` is set there, then writes its last double. Returns the old
   * word 3; -1, with nothing done, when `busy` was set, somebody changed the word meanwhile, or the ref is null or stale.
   */
  readonly slotMark: (dir: number, geometry: number, ref: number, bits: number, busy: number, value: number) => number;
  /**
   * Takes a reference off word 3, which counts them from bit 8 on, and when its old value under `mask` was `last`, frees the
   * slot as {@link slotGive} does. Returns the old word 3; -2 when the slot was freed, -1 when the ref is null or stale.
   */
  readonly slotPut: (dir: number, geometry: number, mag: number, ref: number, mask: number, last: number) => number;
  /** Frees the slot behind `ref` into the magazine: 1, 0 when that is full, -1 when the ref is null or stale. */
  readonly slotGive: (dir: number, geometry: number, mag: number, ref: number) => number;
}

/** `shift`: how many bits of an index count slots within a chunk. */
export function geometryOf(wordsOfSlot: number, shift: number): number {
  return (wordsOfSlot << 5) | shift;
}

/** The same in plain JavaScript, for hosts without threaded WebAssembly. */
export function jsSlots(i32: Int32Array): Slots {
  const f64 = new Float64Array(i32.buffer);
  const place = (dir: number, geometry: number, index: number): number => {
    const chunk = index >>> (geometry & 31);
    const base = chunk < MAX_CHUNKS ? i32[dir + chunk]! : 0;
    return base === 0 ? 0 : base + (index - (chunk << (geometry & 31))) * (geometry >>> 5);
  };
  const slotAt = (dir: number, geometry: number, ref: number): number => {
    if ((ref & GEN_ONE) === 0) return 0;
    const p = place(dir, geometry, ref & INDEX_MASK);
    return p !== 0 && ((i32[p]! ^ ref) & ~INDEX_MASK) === 0 ? p : 0;
  };
  const slotTake = (dir: number, geometry: number, mag: number, low: number): number => {
    const n = i32[mag]!;
    if (n === 0) return 0;
    const index = i32[mag + n]!;
    i32[mag] = n - 1;
    const p = place(dir, geometry, index);
    const header = ((i32[p]! & ~INDEX_MASK) + GEN_ONE) | 0;
    i32[p] = header | low;
    return header | index;
  };
  const release = (mag: number, p: number, ref: number): number => {
    const n = i32[mag]! + 1;
    if (n > MAGAZINE) return 0;
    i32[p] = (ref + GEN_ONE) & ~INDEX_MASK;
    i32[mag + n] = ref & INDEX_MASK;
    i32[mag] = n;
    return 1;
  };
  return {
    slotAt,
    slotLoad(dir, geometry, ref, word) {
      const p = slotAt(dir, geometry, ref);
      return p === 0 ? -1 : Atomics.load(i32, p + word);
    },
    slotAdd(dir, geometry, ref, word, value) {
      const p = slotAt(dir, geometry, ref);
      return p === 0 ? -1 : Atomics.add(i32, p + word, value);
    },
    slotTake,
    slotMake(dir, geometry, mag, low, word1, word2, word3, value) {
      const ref = slotTake(dir, geometry, mag, low);
      if (ref === 0) return 0;
      const p = place(dir, geometry, ref & INDEX_MASK);
      i32[p + 1] = word1;
      i32[p + 2] = word2;
      f64[(p + 4) >>> 1] = value;
      f64[(p + 6) >>> 1] = 0;
      i32[p + 3] = word3;
      return ref;
    },
    slotMark(dir, geometry, ref, bits, busy, value) {
      const p = slotAt(dir, geometry, ref);
      if (p === 0) return -1;
      const old = i32[p + 3]!;
      if ((old & busy) !== 0 || Atomics.compareExchange(i32, p + 3, old, old | bits) !== old) return -1;
      f64[(p + 6) >>> 1] = value;
      return old;
    },
    slotPut(dir, geometry, mag, ref, mask, last) {
      const p = slotAt(dir, geometry, ref);
      if (p === 0) return -1;
      const old = Atomics.sub(i32, p + 3, 0x100);
      return (old & mask) === last && release(mag, p, ref) === 1 ? -2 : old;
    },
    slotGive(dir, geometry, mag, ref) {
      const p = slotAt(dir, geometry, ref);
      return p === 0 ? -1 : release(mag, p, ref);
    },
  };
}
