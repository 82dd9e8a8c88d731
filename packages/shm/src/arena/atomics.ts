import type { Mem } from '../memory/mem.ts';

/**
 * Atomic access by word index, for hot paths that compute their own offsets from `Struct.field.at`.
 * All are sequentially consistent; read-modify-write forms return the old value.
 */
export function atomicLoad(mem: Mem, at: number): number {
  return mem.movers.load(at);
}

export function atomicStore(mem: Mem, at: number, value: number): void {
  mem.movers.store(at, value);
}

export function atomicAdd(mem: Mem, at: number, value: number): number {
  return mem.movers.add(at, value);
}

export function atomicSub(mem: Mem, at: number, value: number): number {
  return mem.movers.sub(at, value);
}

export function atomicOr(mem: Mem, at: number, value: number): number {
  return mem.movers.or(at, value);
}

export function atomicAnd(mem: Mem, at: number, value: number): number {
  return mem.movers.and(at, value);
}

export function atomicExchange(mem: Mem, at: number, value: number): number {
  return mem.movers.exchange(at, value);
}

/** Compare and exchange; returns the old value. */
export function atomicCas(mem: Mem, at: number, expected: number, value: number): number {
  return mem.movers.cas(at, expected, value);
}
