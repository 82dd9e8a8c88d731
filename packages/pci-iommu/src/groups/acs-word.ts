import { ACS_ALL_BITS } from '../topology/index.ts';

/** A register of which some bits may not be known. */
export interface AcsWord {
  /** The bits; those that are not known read 0. */
  readonly value: number;
  /** Which bits are known. */
  readonly known: number;
}

export const UNKNOWN_WORD: AcsWord = { value: 0, known: 0 };

/** A register all of whose bits are known. */
export function knownWord(value: number): AcsWord {
  return { value, known: ACS_ALL_BITS };
}

/** The register with some bits cleared. */
export function withCleared(word: AcsWord, bits: number): AcsWord {
  return { value: word.value & ~bits, known: word.known | bits };
}

/** Whether any of these bits is set. */
export function anySet(word: AcsWord, bits: number): boolean | 'unknown' {
  if ((word.value & bits) !== 0) return true;
  return (word.known & bits) === bits ? false : 'unknown';
}

/** What is known of a register that holds one of two words. */
export function oneOf(a: AcsWord, b: AcsWord): AcsWord {
  const known = a.known & b.known & ~(a.value ^ b.value);
  return { value: a.value & known, known };
}
