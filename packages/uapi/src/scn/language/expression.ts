import { SYMBOLS } from './symbols.ts';

const SUFFIXES: Readonly<Record<string, bigint>> = { K: 1n << 10n, M: 1n << 20n, G: 1n << 30n, P: 4096n };
const NUMBER = /^(-?)(0[xX][0-9a-fA-F]+|\d+)([KMGP]?)$/;

/** The value of a number as written: terms joined by `|` or `+`, modulo 2^64. @throws RangeError saying what was expected */
export function evaluate(text: string, variable: (name: string) => bigint): bigint {
  let value = 0n;
  let operator = '+';
  for (const part of text.split(/([|+])/)) {
    if (part === '|' || part === '+') {
      operator = part;
      continue;
    }
    const term = evaluateTerm(part, variable);
    value = BigInt.asUintN(64, operator === '|' ? value | term : value + term);
  }
  return value;
}

function evaluateTerm(text: string, variable: (name: string) => bigint): bigint {
  if (text.startsWith('$')) return BigInt.asUintN(64, variable(text.slice(1)));
  const number = NUMBER.exec(text);
  if (number !== null) {
    const [, minus, digits, suffix] = number as unknown as [string, string, string, string];
    const octal = /^0\d/.test(digits);
    if (octal && /[89]/.test(digits)) throw new RangeError(`expected octal digits after the leading 0, got '${text}'`);
    const value = BigInt(octal ? `0o${digits}` : digits) * (SUFFIXES[suffix] ?? 1n);
    return BigInt.asUintN(64, minus === '' ? value : -value);
  }
  const symbol = SYMBOLS.get(text);
  if (symbol !== undefined) return symbol;
  throw new RangeError(`expected a number, a $variable or a symbol such as RDWR or U32MAX, got '${text}'`);
}
