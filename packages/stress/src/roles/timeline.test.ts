import { Random } from '@dmabuf-emu/shm';
import { Timeline } from '#dist/roles/timeline.js';
import { expect, test } from 'vitest';

function run(rate: number, forMs: number, seed = 1): number[] {
  const timeline = new Timeline([{ what: 'x', rate }], new Random(seed), 0);
  const times: number[] = [];
  for (let now = 0; now < forMs; now++) while (timeline.take(now) !== undefined) times.push(now);
  return times;
}

test('the first of each kind comes soon, whatever its rate', () => {
  for (let seed = 0; seed < 50; seed++) {
    const [first] = run(0.2, 10_000, seed);
    expect(first).toBeLessThanOrEqual(700);
  }
});

test('as many a second as asked for, on average, and not evenly', () => {
  const times = run(50, 60_000);
  expect(times.length).toBeGreaterThan(2600);
  expect(times.length).toBeLessThan(3400);
  const gaps = times.slice(1).map((time, i) => time - times[i]!);
  expect(new Set(gaps).size).toBeGreaterThan(40);
});

test('what is overdue is not made up for', () => {
  const timeline = new Timeline([{ what: 'x', rate: 100 }], new Random(1), 0);
  let late = 0;
  while (timeline.take(10_000) !== undefined) late++;
  expect(late).toBeLessThan(30);
});

test('a rate of zero never happens', () => {
  const timeline = new Timeline([{ what: 'x', rate: 0 }], new Random(1), 0);
  expect(timeline.take(1e9)).toBeUndefined();
  expect(timeline.untilNext(0)).toBe(Number.POSITIVE_INFINITY);
});

test('the same seed, the same times', () => {
  expect(run(20, 5000, 7)).toEqual(run(20, 5000, 7));
  expect(run(20, 5000, 7)).not.toEqual(run(20, 5000, 8));
});
