import { propertyRuns } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { rangesInBar, toU64, validateRanges } from '#dist/dma-buf/ranges.js';
import { errno } from '../testing/rig.fixture.ts';

const bar = { start: 0x38_0000_0000, size: 0x400_0000 };

describe('64-bit arguments', () => {
  test.each([0, 1, 2 ** 53, 2 ** 63, 0n, 2n ** 64n - 1n])('%s is one', (value) => {
    expect(toU64(value, 'x')).toBe(BigInt(value));
  });

  test.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 64, -1n, 2n ** 64n])('%s is none', (value) => {
    expect(() => toU64(value, 'offset')).toThrow('offset must be a whole number from 0 to 2^64-1');
  });
});

test('validation agrees with arithmetic without limits', () => {
  const u64 = fc.oneof(
    fc.bigInt(0n, 2n ** 64n - 1n),
    fc.bigInt(0n, 64n),
    fc.constantFrom(2n ** 63n, 2n ** 64n - 4096n),
  );
  const pages = u64.map((value) => BigInt.asUintN(64, value * 4096n));
  const range = fc.record({ offset: fc.oneof(pages, u64), length: fc.oneof(pages, u64) });
  fc.assert(
    fc.property(fc.array(range, { minLength: 1, maxLength: 5 }), (ranges) => {
      const bad = ranges.some(({ offset, length }) => length === 0n || offset % 4096n !== 0n || length % 4096n !== 0n);
      const sum = ranges.reduce((total, { length }) => total + length, 0n);
      if (bad || sum >= 2n ** 63n) {
        expect(() => validateRanges(ranges)).toThrow(errno('EINVAL'));
        return;
      }
      expect(validateRanges(ranges)).toBe(sum);
      const end = ranges.map(({ offset, length }) => BigInt(bar.start) + offset + length);
      const first = end.findIndex((value) => value > BigInt(bar.start + bar.size));
      if (first === -1) {
        expect(rangesInBar(ranges, bar)).toEqual(
          ranges.map(({ offset, length }) => ({ offset: Number(offset), length: Number(length) })),
        );
      } else expect(() => rangesInBar(ranges, bar)).toThrow(errno(end[first]! >= 2n ** 64n ? 'EOVERFLOW' : 'EINVAL'));
    }),
    { seed: 11, numRuns: propertyRuns(2000) },
  );
});
