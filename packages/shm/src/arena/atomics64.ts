import type { Mem } from '../memory/mem.ts';

const VIEWS = new WeakMap<Mem, BigUint64Array>();

/**
 * Atomic access to 64 bits by word index, which must be even; values wrap. Sequentially consistent; returns the old value.
 * Numbers of this kind are slow: for what devices do to memory, not for the kernel's own state.
 */
export function atomicAdd64(mem: Mem, at: number, value: bigint): bigint {
  return Atomics.add(viewOf(mem), at / 2, value);
}

export function atomicExchange64(mem: Mem, at: number, value: bigint): bigint {
  return Atomics.exchange(viewOf(mem), at / 2, value);
}

/** Compare and exchange; returns the old value. */
export function atomicCas64(mem: Mem, at: number, expected: bigint, value: bigint): bigint {
  return Atomics.compareExchange(viewOf(mem), at / 2, expected, value);
}

function viewOf(mem: Mem): BigUint64Array {
  let view = VIEWS.get(mem);
  if (view === undefined) VIEWS.set(mem, (view = new BigUint64Array(mem.buffer)));
  return view;
}
