/** Bits of a ref that are the slot's index; the generation above is odd while the slot is live. */
export const INDEX_BITS = 22;
export const INDEX_MASK = (1 << INDEX_BITS) - 1;
export const GEN_ONE = 1 << INDEX_BITS;
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
  /** Takes the newest index out of the magazine and makes its slot live; returns the ref, 0 when there is none. */
  readonly slotTake: (dir: number, geometry: number, mag: number) => number;
  /** Frees the slot behind `ref` into the magazine: 1, 0 when that holds `limit` already, -1 when the ref is null or stale. */
  readonly slotGive: (dir: number, geometry: number, mag: number, limit: number, ref: number) => number;
}

/** `shift`: how many bits of an index count slots within a chunk. */
export function geometryOf(wordsOfSlot: number, shift: number): number {
  return (wordsOfSlot << 5) | shift;
}

/** The same in plain JavaScript, for hosts without threaded WebAssembly. */
export function jsSlots(i32: Int32Array): Slots {
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
    slotTake(dir, geometry, mag) {
      const n = i32[mag]!;
      if (n === 0) return 0;
      const index = i32[mag + n]!;
      i32[mag] = n - 1;
      const p = place(dir, geometry, index);
      const header = ((i32[p]! & ~INDEX_MASK) + GEN_ONE) | 0;
      i32[p] = header;
      return header | index;
    },
    slotGive(dir, geometry, mag, limit, ref) {
      const p = slotAt(dir, geometry, ref);
      if (p === 0) return -1;
      const n = i32[mag]! + 1;
      if (n > limit) return 0;
      i32[p] = (ref + GEN_ONE) & ~INDEX_MASK;
      i32[mag + n] = ref & INDEX_MASK;
      i32[mag] = n;
      return 1;
    },
  };
}
