// A three-state mutex on the bare platform: 0 free, 1 held, 2 held and somebody may be parked.
import { nsPerTurn, scaled } from '../lib/stats.mjs';
import { runTogether } from '../lib/threads.mjs';

const SPIN_TURNS = 100;
const COUNTER = 64;

function lock(words, at) {
  if (Atomics.compareExchange(words, at, 0, 1) === 0) return;
  for (let i = 0; i < SPIN_TURNS; i++) {
    if (Atomics.load(words, at) === 0 && Atomics.compareExchange(words, at, 0, 1) === 0) return;
  }
  while (Atomics.exchange(words, at, 2) !== 0) Atomics.wait(words, at, 2);
}

function unlock(words, at) {
  if (Atomics.sub(words, at, 1) === 1) return;
  Atomics.store(words, at, 0);
  Atomics.notify(words, at, 1);
}

/** Something to do inside and between critical sections; the C reference does the same. */
export function work(x, turns) {
  for (let i = 0; i < turns; i++) x = (Math.imul(x, 1664525) + 1013904223) | 0;
  return x;
}

export function uncontended() {
  const words = new Int32Array(new SharedArrayBuffer(1024));
  const loop = (turns) => {
    for (let i = 0; i < turns; i++) {
      lock(words, 0);
      unlock(words, 0);
    }
  };
  return { lock_unlock_ns: nsPerTurn(loop, 3e6) };
}

/**
 * WebAssembly that exports `cas` (byte, expected, value) and `sub` (byte, value): i32.atomic.rmw.cmpxchg and .sub on an
 * imported shared memory. V8 inlines calls of these, but not of Atomics.
 */
const ATOMICS_WASM =
  'AGFzbQEAAAABDgJgA39/fwF/YAJ/fwF/AhIBA2VudgZtZW1vcnkCAwGAgAQDAwIAAQcNAgNjYXMAAANzdWIAAQoZAgwAIAAgASAC/kgCAAsKACAAIAH+JQIACw==';

/** Free to held and back, where nobody else wants it: the dearest part of {@link lock} and {@link unlock}. */
export function uncontendedWasm() {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const module = new WebAssembly.Module(Buffer.from(ATOMICS_WASM, 'base64'));
  const { cas, sub } = new WebAssembly.Instance(module, { env: { memory } }).exports;
  const loop = (turns) => {
    for (let i = 0; i < turns; i++) {
      if (cas(64, 0, 1) !== 0 || sub(64, 1) !== 1) throw new Error('nobody else was to touch it');
    }
  };
  return { lock_unlock_ns: nsPerTurn(loop, 3e6) };
}

export async function contended({ threads }) {
  const data = { buffer: new SharedArrayBuffer(1024), turns: Math.floor(scaled(2e6) / threads) };
  const parts = Array.from({ length: threads }, () => ({ run: 'contend', data }));
  const { elapsedMs } = await runTogether(import.meta.url, parts);
  const expected = data.turns * threads;
  if (new Int32Array(data.buffer)[COUNTER] !== expected) throw new Error('lost update');
  return { Mops_s: expected / elapsedMs / 1e3 };
}

export function contend({ buffer, turns }, gate) {
  const words = new Int32Array(buffer);
  let x = gate.index;
  gate.start();
  for (let i = 0; i < turns; i++) {
    lock(words, 0);
    words[COUNTER]++;
    x = work(x, 20);
    unlock(words, 0);
    x = work(x, 60);
  }
  return x;
}
