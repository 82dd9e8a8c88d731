import { evaluate } from '#dist/scn/language/expression.js';
import fc from 'fast-check';
import { expect, test } from 'vitest';

const none = (name: string): bigint => {
  throw new RangeError(`expected a variable, got ${name}`);
};

test.each([
  ['0', 0n],
  ['010', 8n],
  ['0x1F', 31n],
  ['2K', 2048n],
  ['3M', 3n << 20n],
  ['1G', 1n << 30n],
  ['4P', 16384n],
  ['-1', 2n ** 64n - 1n],
  ['-2P', 2n ** 64n - 8192n],
  ['RDWR|CLOEXEC', 0o2000002n],
  ['2M+1P', (2n << 20n) + 4096n],
  ['START|READ|WRITE', 3n],
  ['U64MAX', 2n ** 64n - 1n],
  ['U64MAX+1', 0n],
  ['$a+1', 43n],
  ['$b', 2n ** 64n - 1n],
])('%s', (text, value) => {
  expect(evaluate(text, (name) => ({ a: 42n, b: -1n })[name] ?? none(name))).toBe(value);
});

test.each(['', 'RDWRX', '1X', '0x', '09', '|', '1|', '--1', '1 2'])('%j is refused', (text) => {
  expect(() => evaluate(text, none)).toThrow(RangeError);
});

test('sums and unions are those of 64-bit numbers', () => {
  const word = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  fc.assert(
    fc.property(word, word, word, (a, b, c) => {
      const value = evaluate(`0x${a.toString(16)}|${b}+${c}`, none);
      expect(value).toBe(BigInt.asUintN(64, (a | b) + c));
    }),
  );
});
