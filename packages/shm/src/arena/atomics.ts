import type { Mem } from '../memory/mem.ts';

/**
 * Atomic access by word index, for hot paths that compute their own offsets from `Struct.field.at`.
 * All are sequentially consistent; read-modify-write forms return the old value.
 */
export function atomicLoad(mem: Mem, at: number): number {
  return Atomics.load(mem.i32, at);
}

export function atomicStore(mem: Mem, at: number, value: number): void {
  Atomics.store(mem.i32, at, value);
}

export function atomicAdd(mem: Mem, at: number, value: number): number {
  return Atomics.add(mem.i32, at, value);
}

export function atomicSub(mem: Mem, at: number, value: number): number {
  return Atomics.sub(mem.i32, at, value);
}

export function atomicOr(mem: Mem, at: number, value: number): number {
  return Atomics.or(mem.i32, at, value);
}

export function atomicAnd(mem: Mem, at: number, value: number): number {
  return Atomics.and(mem.i32, at, value);
}

export function atomicExchange(mem: Mem, at: number, value: number): number {
  return Atomics.exchange(mem.i32, at, value);
}

/** Compare and exchange; returns the old value. */
export function atomicCas(mem: Mem, at: number, expected: number, value: number): number {
  return Atomics.compareExchange(mem.i32, at, expected, value);
}
