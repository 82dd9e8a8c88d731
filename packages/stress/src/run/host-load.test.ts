import { HostLoad } from '#dist/run/host-load.js';
import { expect, test } from 'vitest';

const MS = 1e6;

/** A host whose two threads run for `ran` and wait for `waited` milliseconds in each window. */
function host(windows: readonly { ran: number; waited: number }[]): HostLoad {
  let [ran, waited, n] = [0, 0, 0];
  return new HostLoad(() => {
    const window = windows[n++]!;
    ran += window.ran * MS;
    waited += window.waited * MS;
    return new Map([
      ['1', { ran, waited }],
      ['2', { ran: 0, waited: 0 }],
    ]);
  });
}

test('bounds stretch by what the threads waited for a processor, up to a limit, and shrink slowly', () => {
  const load = host([
    { ran: 400, waited: 0 },
    { ran: 100, waited: 300 },
    { ran: 10, waited: 900 },
    { ran: 400, waited: 0 },
    { ran: 400, waited: 400 },
    { ran: 1, waited: 400 },
  ]);
  const seen = [1000, 1500, 2000, 2500, 3000, 3500].map((now) => load.look(now));
  expect(seen.map((factor) => Math.round(factor * 100) / 100)).toEqual([1, 4, 8, 5.6, 3.92, 2.74]);
});

test('looks again only when a window has passed', () => {
  const load = host([
    { ran: 100, waited: 100 },
    { ran: 100, waited: 500 },
  ]);
  expect([1000, 1100, 1499, 1500].map((now) => load.look(now))).toEqual([2, 2, 2, 6]);
});

test('a thread that ended takes its share with it', () => {
  const reads = [
    new Map([
      ['1', { ran: 50 * MS, waited: 0 }],
      ['2', { ran: 900 * MS, waited: 900 * MS }],
    ]),
    new Map([['1', { ran: 150 * MS, waited: 0 }]]),
    new Map([['1', { ran: 250 * MS, waited: 100 * MS }]]),
  ];
  const load = new HostLoad(() => reads.shift()!);
  expect([1000, 1500, 2000].map((now) => Math.round(load.look(now) * 100) / 100)).toEqual([1.95, 1.36, 2]);
});

test('the host it runs on is read without an error', () => {
  expect(new HostLoad().look(1000)).toBeGreaterThanOrEqual(1);
});
