import { atomicCas, ERRNO, type ErrnoName } from '@dmabuf-emu/shm';
import { ERROR_MASK, ERROR_SHIFT, MAX_ERRNO } from './layout.ts';
import type { FenceTable } from './table.ts';

/** Stores an error: a name, or a negative number down to -MAX_ERRNO. */
export function setError(t: FenceTable, p: number, error: ErrnoName | number): void {
  const magnitude = typeof error === 'string' ? ERRNO[error] : -error;
  if (magnitude < 1 || magnitude > MAX_ERRNO) return;
  for (let header = t.mem.i32[p]!; ;) {
    const old = atomicCas(t.mem, p, header, (header & ~ERROR_MASK) | (magnitude << ERROR_SHIFT));
    if (old === header) return;
    header = old;
  }
}

/** The stored error: 0 or negative. */
export function errorOf(t: FenceTable, p: number): number {
  const magnitude = (t.mem.i32[p]! & ERROR_MASK) >>> ERROR_SHIFT;
  return magnitude === 0 ? 0 : -magnitude;
}
