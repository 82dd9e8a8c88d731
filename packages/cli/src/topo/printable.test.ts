import { plural, printable, shortened, wrapped } from '#dist/topo/printable.js';
import fc from 'fast-check';
import { expect, test } from 'vitest';

test('nothing that steers a terminal is left', () => {
  expect(printable('a\u001b[31mb\u0007\u009b2J\u202ec\u2028\nd')).toBe(
    'a\ufffd[31mb\ufffd\ufffd2J\ufffdc\ufffd\ufffdd',
  );
  expect(printable('NVIDIA AD102 “é” 漢')).toBe('NVIDIA AD102 “é” 漢');
});

test('text is cut by characters, not in the middle of one', () => {
  expect(shortened('abcdef', 6)).toBe('abcdef');
  expect(shortened('abcdefg', 6)).toBe('abcde…');
  expect(shortened('a 😀😀😀', 4)).toBe('a 😀…');
});

test('wrapped lines have all words, and no line is too wide for more than one word', () => {
  fc.assert(
    fc.property(
      fc.array(fc.stringMatching(/^[a-z]{1,12}$/u), { minLength: 1 }),
      fc.integer({ min: 8, max: 60 }),
      (words, width) => {
        const lines = wrapped(words.join(' '), width, '  ');
        expect(lines.map((line) => line.trim()).join(' ')).toBe(words.join(' '));
        for (const line of lines) expect(line.length <= width || !line.trim().includes(' ')).toBe(true);
      },
    ),
    { numRuns: 100 },
  );
});

test('plurals', () => {
  expect([plural(1, 'port'), plural(2, 'port'), plural(0, 'group')]).toEqual(['1 port', '2 ports', '0 groups']);
});
