import { describe, expect, test } from 'vitest';
import { isWindowLine, parseBusLine, parseWindowLine } from './bridge-line.ts';
import type { LogicalLine } from './logical-lines.ts';

function line(text: string): LogicalLine {
  return { line: 12, text, indented: true, kind: 'attribute' };
}

describe('bridge lines', () => {
  test('bus numbers are hexadecimal', () => {
    expect(parseBusLine(line('Bus: primary=00, secondary=1a, subordinate=ff, sec-latency=0'))).toEqual({
      primary: 0,
      secondary: 0x1a,
      subordinate: 0xff,
    });
  });

  test('a missing bus number is refused with the line', () => {
    expect(() => parseBusLine(line('Bus: primary=00, secondary=1a'))).toThrow(
      /line 12: expected "Bus: primary=XX, secondary=XX, subordinate=XX"/u,
    );
  });

  test.each([
    ['Memory behind bridge: df000000-df2fffff [size=3M] [32-bit]', { kind: 'mem', start: 0xdf000000, end: 0xdf2fffff }],
    ['I/O behind bridge: 2000-2fff [size=4K] [16-bit]', { kind: 'io', start: 0x2000, end: 0x2fff }],
    [
      'Prefetchable memory behind bridge: 0000000900000000-00000009006fffff',
      { kind: 'prefetch', start: 0x900000000, end: 0x9006fffff },
    ],
    ['Memory behind bridge: [disabled] [32-bit]', null],
    ['Memory behind bridge: fff00000-000fffff [disabled]', null],
    ['I/O behind bridge: None', null],
  ])('%s', (text, expected) => {
    expect(isWindowLine(text)).toBe(true);
    expect(parseWindowLine(line(text))).toEqual(expected);
  });

  test.each(['Memory behind bridge: ', 'Memory behind bridge: f0000000', 'I/O behind bridge: xyz-10'])(
    '%j is refused',
    (text) => {
      expect(() => parseWindowLine(line(text))).toThrow(/line 12: expected a range START-END, None or \[disabled\]/u);
    },
  );
});
