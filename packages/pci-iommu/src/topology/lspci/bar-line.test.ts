import { describe, expect, test } from 'vitest';
import { isBarLine, isRomLine, parseBarLine, parseRomLine } from './bar-line.ts';
import type { LogicalLine } from './logical-lines.ts';

function line(text: string): LogicalLine {
  return { line: 7, text, indented: true, kind: 'attribute' };
}

describe('BAR lines', () => {
  test.each([
    [
      'Region 1: Memory at 3f000000000 (64-bit, prefetchable) [size=64G]',
      { index: 1, address: 0x3f000000000, size: 64 * 2 ** 30, kind: 'mem64', prefetchable: true, flags: [] },
    ],
    [
      'Region 0: Memory at f8000000 (32-bit, non-prefetchable) [disabled] [size=16M]',
      { index: 0, address: 0xf8000000, size: 2 ** 24, kind: 'mem32', prefetchable: false, flags: ['disabled'] },
    ],
    [
      'Region 5: I/O ports at 2000 [size=128]',
      { index: 5, address: 0x2000, size: 128, kind: 'io', prefetchable: false, flags: [] },
    ],
    [
      'Region 2: Memory at <unassigned> (64-bit, prefetchable) [disabled]',
      { index: 2, address: null, size: null, kind: 'mem64', prefetchable: true, flags: ['disabled', 'unassigned'] },
    ],
    [
      'Region 0: Memory at <ignored> (64-bit, non-prefetchable) [size=4K]',
      { index: 0, address: null, size: 4096, kind: 'mem64', prefetchable: false, flags: ['ignored'] },
    ],
    [
      '[virtual] Region 0: Memory at 000001f0 (32-bit, non-prefetchable) [size=8]',
      { index: 0, address: 0x1f0, size: 8, kind: 'mem32', prefetchable: false, flags: ['virtual'] },
    ],
    [
      'Region 0: Memory at b2000000 (64-bit, non-prefetchable) [virtual] [size=16K]',
      { index: 0, address: 0xb2000000, size: 16384, kind: 'mem64', prefetchable: false, flags: ['virtual'] },
    ],
    [
      'Region 2: [enhanced] Memory at b2000000 (type 3, prefetchable) [disabled]',
      { index: 2, address: 0xb2000000, size: null, kind: 'mem32', prefetchable: true, flags: ['disabled'] },
    ],
    [
      '[enhanced] I/O ports at 3000 [size=8]',
      { index: null, address: 0x3000, size: 8, kind: 'io', prefetchable: false, flags: [] },
    ],
    [
      'Memory at a0000000 (64-bit, prefetchable) [size=256M]',
      { index: null, address: 0xa0000000, size: 2 ** 28, kind: 'mem64', prefetchable: true, flags: [] },
    ],
  ])('%s', (text, expected) => {
    expect(isBarLine(text)).toBe(true);
    expect(parseBarLine(line(text))).toEqual(expected);
  });

  test.each([
    ['Region 6: Memory at 1000 (32-bit, prefetchable)', /line 7: expected a region number from 0 to 5, got 6/u],
    ['Region 0: Memory at 10g0 (32-bit, prefetchable)', /line 7: expected/u],
    ['Region 0: Memory at 1000 (48-bit, prefetchable)', /expected \(64-bit, ...\) or \(32-bit, ...\)/u],
    ['Region 0: Memory at 1000', /expected \(64-bit/u],
    ['Region 0: something else', /expected "Memory at ADDRESS/u],
    ['Region 0: Memory at 1000 (32-bit, prefetchable) [size=big]', /expected \[size=NUMBER\]/u],
    ['Region 0: Memory at ffffffffffffffff (64-bit, prefetchable)', /below 2\^53/u],
  ])('%s is refused', (text, message) => {
    expect(() => parseBarLine(line(text))).toThrow(message);
  });

  test.each([
    ['Expansion ROM at f9000000 [virtual] [disabled] [size=512K]', { address: 0xf9000000, size: 2 ** 19 }],
    ['Expansion ROM at <ignored> [disabled]', { address: null, size: null }],
    ['Expansion ROM at 000c0000<ignored> [disabled by cmd]', { address: null, size: null }],
  ])('%s', (text, expected) => {
    expect(isRomLine(text)).toBe(true);
    expect(parseRomLine(line(text))).toEqual(expected);
  });
});
