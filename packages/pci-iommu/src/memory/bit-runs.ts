/**
 * First run of `count` clear bits in a bitmap of 32-bit words, in bits [from, end), whose first bit plus `skew` is a multiple
 * of `align`.
 * @returns the number of the run's first bit, or -1
 */
export function findClearRun(
  words: Int32Array,
  base: number,
  from: number,
  end: number,
  count: number,
  align = 1,
  skew = 0,
): number {
  let start = alignUp(from, align, skew);
  while (start + count <= end) {
    const blocked = firstSetBit(words, base, start, start + count);
    if (blocked < 0) return start;
    start = alignUp(nextClearBit(words, base, blocked + 1, end), align, skew);
  }
  return -1;
}

function alignUp(bit: number, align: number, skew: number): number {
  return Math.ceil((bit + skew) / align) * align - skew;
}

/** Number of the first set bit in [from, end), or -1. */
export function firstSetBit(words: Int32Array, base: number, from: number, end: number): number {
  for (let bit = from; bit < end;) {
    const word = words[base + (bit >>> 5)]! >>> (bit & 31);
    if (word !== 0) {
      const found = bit + trailingZeros(word);
      return found < end ? found : -1;
    }
    bit = (bit | 31) + 1;
  }
  return -1;
}

/** Number of the first clear bit at or above `from`; `end` when there is none below it. */
export function nextClearBit(words: Int32Array, base: number, from: number, end: number): number {
  for (let bit = from; bit < end;) {
    const word = ~words[base + (bit >>> 5)]! >>> (bit & 31);
    if (word !== 0) return Math.min(end, bit + trailingZeros(word));
    bit = (bit | 31) + 1;
  }
  return end;
}

/** Sets or clears `count` bits from `from` on. */
export function writeBits(words: Int32Array, base: number, from: number, count: number, set: boolean): void {
  for (let bit = from; bit < from + count;) {
    const n = Math.min(32 - (bit & 31), from + count - bit);
    const mask = (n === 32 ? -1 : (1 << n) - 1) << (bit & 31);
    const at = base + (bit >>> 5);
    words[at] = set ? words[at]! | mask : words[at]! & ~mask;
    bit += n;
  }
}

/** Number of set bits in `count` words. */
export function countSetBits(words: Int32Array, base: number, count: number): number {
  let total = 0;
  for (let i = 0; i < count; i++) {
    let word = words[base + i]!;
    word -= (word >>> 1) & 0x55555555;
    word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
    total += Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
  }
  return total;
}

function trailingZeros(word: number): number {
  return 31 - Math.clz32(word & -word);
}
