import type { I32Field } from '../arena/field.ts';
import type { Machine } from '../machine/machine.ts';
import { syncPoint } from './sync-point.ts';

/** Takes a reference; a count of zero is a diagnostic (`refcount-from-zero`) and stays zero. @kernel refcount_inc */
export function refInc(machine: Machine, p: number, field: I32Field): void {
  if (!refIncNotZero(machine, p, field))
    machine.diag.warn('refcount-from-zero', 'reference taken on an object whose count is 0');
}

/** Takes a reference unless the count is zero already; tells whether it did. @kernel refcount_inc_not_zero */
export function refIncNotZero(machine: Machine, p: number, field: I32Field): boolean {
  const { i32 } = machine.mem;
  const at = p + field.at;
  syncPoint('ref.get', at);
  for (let v = Atomics.load(i32, at); v > 0;) {
    const old = Atomics.compareExchange(i32, at, v, v + 1);
    if (old === v) return true;
    v = old;
  }
  return false;
}

/** Drops a reference; true for the last one. Underflow is a diagnostic (`refcount-underflow`). @kernel refcount_dec_and_test */
export function refDec(machine: Machine, p: number, field: I32Field): boolean {
  const { i32 } = machine.mem;
  const at = p + field.at;
  syncPoint('ref.put', at);
  const old = Atomics.sub(i32, at, 1);
  if (old <= 0) {
    Atomics.add(i32, at, 1);
    machine.diag.warn('refcount-underflow', 'reference dropped that nobody held');
    return false;
  }
  return old === 1;
}
