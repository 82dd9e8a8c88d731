/*
 * A map of numbers in use: a bit for each, then a bit for each word of those that is full, so that the lowest free number among
 * very many is found in few steps. Its lock must be held. A task that dies half-way leaves at most a number that is in use and
 * not marked: whoever finds one marks it.
 */
const BITS = 32;
const SHIFT = 5;
const FULL = -1;

const wordsFor = (bits: number): number => Math.ceil(bits / BITS);

/** Words of a map of the numbers below `size`. */
export function bitMapWords(size: number): number {
  return wordsFor(size) + wordsFor(wordsFor(size));
}

/** The lowest number from `from` on that is not marked in the map of `size` numbers at word `at`; at least `size` for none. */
export function lowestUnmarked(i32: Int32Array, at: number, size: number, from: number): number {
  const words = wordsFor(size);
  let n = from;
  while (n < size) {
    const end = (n | (BITS - 1)) + 1;
    const found = clearBit(i32, at, n, end);
    if (found < end) return found;
    n = clearBit(i32, at + words, end >>> SHIFT, words) * BITS;
  }
  return size;
}

export function mark(i32: Int32Array, at: number, size: number, n: number): void {
  const word = n >>> SHIFT;
  i32[at + word]! |= 1 << n;
  if (i32[at + word] === FULL) i32[at + wordsFor(size) + (word >>> SHIFT)]! |= 1 << word;
}

export function unmark(i32: Int32Array, at: number, size: number, n: number): void {
  const word = n >>> SHIFT;
  i32[at + wordsFor(size) + (word >>> SHIFT)]! &= ~(1 << word);
  i32[at + word]! &= ~(1 << n);
}

/** Copies a map to a larger one that is empty. */
export function copyBitMap(i32: Int32Array, at: number, size: number, to: number, toSize: number): void {
  const words = wordsFor(size);
  i32.copyWithin(to, at, at + words);
  i32.copyWithin(to + wordsFor(toSize), at + words, at + bitMapWords(size));
}

/** The lowest clear bit from `from` on in the bits at word `at`; at least `end` for none below that. */
function clearBit(i32: Int32Array, at: number, from: number, end: number): number {
  let mask = FULL << from;
  for (let word = from >>> SHIFT; word * BITS < end; word++) {
    const clear = ~i32[at + word]! & mask;
    if (clear !== 0) return word * BITS + (BITS - 1 - Math.clz32(clear & -clear));
    mask = FULL;
  }
  return end;
}
