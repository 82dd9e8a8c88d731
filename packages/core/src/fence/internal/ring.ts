import { atomicAnd, atomicOr } from '@dmabuf-emu/shm';
import { CALLBACKS, CallbackStruct as C, RING, STATE } from './layout.ts';
import type { FenceTable } from './table.ts';

/*
 * The ring of callbacks of an unsignalled fence. Everything here needs the fence's lock.
 */

/** Appends a callback. @kernel list_add_tail */
export function append(t: FenceTable, ref: number, p: number, cb: number): void {
  const { mem } = t;
  const c = t.callbacks.at(cb);
  const first = mem.i32[p + RING]!;
  C.fence.set(mem, c, ref);
  if (first === 0) {
    C.next.set(mem, c, cb);
    C.prev.set(mem, c, cb);
    mem.i32[p + RING] = cb;
    atomicOr(mem, p + STATE, CALLBACKS);
    return;
  }
  const firstAt = t.callbacks.at(first);
  const last = C.prev.get(mem, firstAt);
  C.next.set(mem, c, first);
  C.prev.set(mem, c, last);
  C.next.set(mem, t.callbacks.at(last), cb);
  C.prev.set(mem, firstAt, cb);
}

/** Takes a queued callback out. @kernel list_del_init */
export function unlink(t: FenceTable, p: number, cb: number): void {
  const { mem } = t;
  const c = t.callbacks.at(cb);
  const next = C.next.get(mem, c);
  const prev = C.prev.get(mem, c);
  if (next === cb) {
    mem.i32[p + RING] = 0;
    atomicAnd(mem, p + STATE, ~CALLBACKS);
  } else {
    C.next.set(mem, t.callbacks.at(prev), next);
    C.prev.set(mem, t.callbacks.at(next), prev);
    if (mem.i32[p + RING] === cb) mem.i32[p + RING] = next;
  }
  makeEmpty(t, c);
}

/** Marks the callback at word `c` as on no fence. @kernel INIT_LIST_HEAD */
export function makeEmpty(t: FenceTable, c: number): void {
  C.next.set(t.mem, c, 0);
  C.prev.set(t.mem, c, 0);
  C.fence.store(t.mem, c, 0);
}
