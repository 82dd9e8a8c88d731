import { Mem } from '@dmabuf-emu/shm';
import { bucketOf, bucketValue, HISTOGRAM_WORDS, LogHistogram, summarise } from '#dist/board/log-histogram.js';
import { propertyRuns } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

function histogram(values: readonly number[]): LogHistogram {
  const h = new LogHistogram(Mem.reserve(65536, 'js'), 16);
  for (const value of values) h.record(value);
  return h;
}

describe('buckets', () => {
  test('are in order, and the middle of a bucket lies in it', () => {
    for (let n = 0; n < 600; n++) {
      expect(bucketOf(bucketValue(n))).toBe(n);
      expect(bucketValue(n + 1)).toBeGreaterThan(bucketValue(n));
    }
  });

  test('powers of two and their neighbours land on the right side', () => {
    for (let e = 5; e < 42; e++) {
      expect(bucketOf(2 ** e)).toBe(bucketOf(2 ** e * 1.01));
      expect(bucketOf(2 ** e - 1)).toBeLessThan(bucketOf(2 ** e));
    }
  });

  test('nothing falls outside', () => {
    for (const odd of [0, -1, Number.NaN, 1e300, Number.POSITIVE_INFINITY]) {
      expect(bucketOf(odd)).toBeGreaterThanOrEqual(0);
      expect(bucketOf(odd)).toBeLessThan(HISTOGRAM_WORDS - 6);
    }
  });
});

describe('percentiles', () => {
  test('of nothing are zero', () => {
    expect(summarise([])).toEqual({ count: 0, mean: 0, p50: 0, p99: 0, max: 0 });
    expect(summarise([histogram([])]).p99).toBe(0);
  });

  test('are within a sixteenth of the exact ones, over several writers', () => {
    const values = fc.array(fc.integer({ min: 0, max: 5_000_000_000 }), { minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(values, values, (a, b) => {
        const sorted = [...a, ...b].toSorted((x, y) => x - y);
        const exact = (p: number): number => sorted[Math.ceil(sorted.length * p) - 1]!;
        const got = summarise([histogram(a), histogram(b)]);
        expect(got.count).toBe(sorted.length);
        expect(got.max).toBe(sorted.at(-1));
        for (const [p, value] of [
          [0.5, got.p50],
          [0.99, got.p99],
        ] as const) {
          expect(Math.abs(value - exact(p))).toBeLessThanOrEqual(exact(p) / 16 + 1);
        }
      }),
      { numRuns: propertyRuns(200) },
    );
  });
});
