// Timing inside a case: every case returns plain numbers, the harness compares them between processes.

/** The value below which a share `q` (0..1) of the samples lies. */
export function quantile(samples, q) {
  const sorted = Float64Array.from(samples).sort();
  return sorted.length === 0 ? NaN : sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

export function median(samples) {
  const sorted = Float64Array.from(samples).sort();
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return NaN;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** An iteration count, made smaller by BENCH_SCALE (0..1) in quick runs; the C references do the same. */
export function scaled(count) {
  return Math.max(1, Math.floor(count * Number(process.env.BENCH_SCALE ?? 1)));
}

/**
 * Median ns a turn over 7 timed slices, after two slices of warm-up.
 * @param {(turns: number) => unknown} loop runs the measured operation `turns` times
 * @param {number} turns turns in a full-length slice
 */
export function nsPerTurn(loop, turns, slices = 7) {
  const count = scaled(turns);
  loop(Math.max(1, count >> 2));
  loop(count);
  const results = [];
  for (let i = 0; i < slices; i++) {
    const start = performance.now();
    loop(count);
    results.push(((performance.now() - start) * 1e6) / count);
  }
  return median(results);
}

const SHORT_SLICE_TURNS = 500;
const SHORT_SLICES = 10;
const PASSES = 20;
const WARM_TURNS = 20_000;
const UNDISTURBED = 0.1;

/**
 * ns of a call of each of `turns`, for ratios of a fifth on a busy machine: slices so short that other work interrupts few of
 * them, taken by turns over the whole time, and of those the fastest tenth. A core that shares its units with a busy one takes
 * twice as long for a while.
 * @template {string} K
 * @param {Record<K, () => unknown>} turns
 * @returns {Record<K, number>}
 */
export function nsUndisturbed(turns) {
  const measured = Object.entries(turns).map(([name, turn]) => ({ name, loop: loopOver(turn), samples: [] }));
  for (const { loop } of measured) loop(WARM_TURNS);
  for (let pass = 0; pass < PASSES; pass++) {
    for (const { loop, samples } of measured) {
      for (let i = 0; i < SHORT_SLICES; i++) {
        const start = performance.now();
        loop(SHORT_SLICE_TURNS);
        samples.push(((performance.now() - start) * 1e6) / SHORT_SLICE_TURNS);
      }
    }
  }
  return Object.fromEntries(measured.map(({ name, samples }) => [name, quantile(samples, UNDISTURBED)]));
}

const loopOver = (turn) => (count) => {
  for (let i = 0; i < count; i++) turn();
};

/** GB/s of an operation that moves `bytes` a turn. */
export function gbPerSecond(bytes, operation, totalBytes = 3e8) {
  const loop = (turns) => {
    for (let i = 0; i < turns; i++) operation(i);
  };
  return bytes / nsPerTurn(loop, totalBytes / bytes + 1, 5);
}

/** p50 and p99 of samples in ms, as us. */
export function latency(samplesMs) {
  return { p50_us: quantile(samplesMs, 0.5) * 1e3, p99_us: quantile(samplesMs, 0.99) * 1e3 };
}

/** CPU time of this process in ns. With one busy thread, what other processes do does not lengthen it. */
export function cpuNs() {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1e3;
}
