import type { Mem } from '@dmabuf-emu/shm';

/** Buckets in a factor of two: bounds are at most 1/16 apart, so a percentile is right to about 3 %. */
const SUB_BITS = 4;
const SUB = 1 << SUB_BITS;
/** Values up to 2^42 ns, more than an hour. */
const OCTAVES = 42;
const BUCKETS = SUB * (OCTAVES - SUB_BITS + 1);
const COUNT_AT = 0;
const MAX_AT = 2;
const SUM_AT = 4;
const BUCKETS_AT = 6;

/** Words that one histogram takes in the arena. */
export const HISTOGRAM_WORDS = BUCKETS_AT + BUCKETS;

/** Percentiles of a latency, in nanoseconds; all 0 when nothing was measured. */
export interface LatencySummary {
  readonly count: number;
  readonly mean: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Bucket of a value in nanoseconds. */
export function bucketOf(ns: number): number {
  if (!(ns >= SUB)) return ns > 0 ? Math.floor(ns) : 0;
  const octave = Math.min(OCTAVES - 1, Math.floor(Math.log2(ns)));
  const sub = Math.min(SUB - 1, Math.max(0, Math.floor(ns / 2 ** (octave - SUB_BITS)) - SUB));
  return (octave - SUB_BITS + 1) * SUB + sub;
}

/** The middle of a bucket. */
export function bucketValue(bucket: number): number {
  if (bucket < SUB) return bucket;
  const octave = Math.floor(bucket / SUB) - 1 + SUB_BITS;
  const width = 2 ** (octave - SUB_BITS);
  return (SUB + (bucket % SUB) + 0.5) * width;
}

/**
 * Latencies in logarithmic buckets, in shared memory: one thread writes with plain stores, any thread may read at any time
 * (and may then miss the newest values). `at` is an even word index.
 */
export class LogHistogram {
  readonly #mem: Mem;
  readonly #at: number;

  constructor(mem: Mem, at: number) {
    this.#mem = mem;
    this.#at = at;
  }

  record(ns: number): void {
    const { i32, f64 } = this.#mem;
    i32[this.#at + BUCKETS_AT + bucketOf(ns)]! += 1;
    i32[this.#at + COUNT_AT]! += 1;
    f64[(this.#at + SUM_AT) >>> 1]! += ns;
    const max = (this.#at + MAX_AT) >>> 1;
    if (ns > f64[max]!) f64[max] = ns;
  }

  get count(): number {
    return this.#mem.i32[this.#at + COUNT_AT]!;
  }

  get max(): number {
    return this.#mem.f64[(this.#at + MAX_AT) >>> 1]!;
  }

  get sum(): number {
    return this.#mem.f64[(this.#at + SUM_AT) >>> 1]!;
  }

  bucket(n: number): number {
    return this.#mem.i32[this.#at + BUCKETS_AT + n]!;
  }
}

/** Percentiles over several writers' histograms of the same latency. */
export function summarise(histograms: readonly LogHistogram[]): LatencySummary {
  let [count, sum, max] = [0, 0, 0];
  for (const histogram of histograms) {
    count += histogram.count;
    sum += histogram.sum;
    max = Math.max(max, histogram.max);
  }
  if (count === 0) return { count: 0, mean: 0, p50: 0, p99: 0, max: 0 };
  const at = (p: number): number => {
    let left = Math.max(1, Math.ceil(count * p));
    for (let n = 0; n < BUCKETS; n++) {
      for (const histogram of histograms) left -= histogram.bucket(n);
      if (left <= 0) return Math.min(max, Math.round(bucketValue(n)));
    }
    return max;
  };
  return { count, mean: Math.round(sum / count), p50: at(0.5), p99: at(0.99), max: Math.round(max) };
}
