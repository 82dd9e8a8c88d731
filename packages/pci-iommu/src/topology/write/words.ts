/** One line of text below a device: how deep it is indented, and its words. */
export interface TextLine {
  readonly depth: number;
  readonly text: string;
}

/** `I/O+ Mem-` from the bits of a register; an empty name leaves its bit out. */
export function flags(bits: number, names: readonly string[]): string {
  return names
    .flatMap((name, bit) => (name === '' ? [] : [`${name}${((bits >>> bit) & 1) === 0 ? '-' : '+'}`]))
    .join(' ');
}

/** One flag: `ExtTag+`. */
export function flag(name: string, set: boolean): string {
  return `${name}${set ? '+' : '-'}`;
}

const UNITS = ['', 'K', 'M', 'G', 'T'] as const;

/** `[size=16M]`, in the largest unit that divides it. */
export function sizeText(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (unit < UNITS.length - 1 && value % 1024 === 0) {
    value /= 1024;
    unit++;
  }
  return `[size=${value}${UNITS[unit] ?? ''}]`;
}

/** Hexadecimal digits, at least so many. */
export function hexDigits(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}

/** Lines of an equal depth. */
export function linesAt(depth: number, ...texts: readonly string[]): readonly TextLine[] {
  return texts.map((text) => ({ depth, text }));
}
