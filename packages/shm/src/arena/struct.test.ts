import { Machine, i32, mutex, struct, u53, words } from '@dmabuf-emu/shm';
import { describe, expect, it } from 'vitest';

describe('struct', () => {
  it('lays fields out behind the header, doubles aligned to two words, size rounded to even', () => {
    const S = struct('layout', { a: i32(), b: u53(), c: i32(), d: words(3), e: mutex('layout.e') });
    expect([S.a.at, S.b.at, S.c.at, S.d.at, S.e.at]).toEqual([1, 2, 4, 5, 8]);
    expect(S.$words).toBe(10);
  });

  it('gives two structs made of one field spec their own offsets', () => {
    const field = i32();
    const A = struct('a', { x: field });
    const B = struct('b', { y: i32(), x: field });
    expect([A.x.at, B.x.at]).toEqual([1, 2]);
  });

  it('refuses field names that start with a dollar sign', () => {
    expect(() => struct('bad', { $x: i32() })).toThrow(/must not start with \$/);
  });

  it('reads, writes and dumps through typed accessors', () => {
    using machine = Machine.create();
    const S = struct('access', { a: i32(), big: u53() });
    const slab = machine.slab(S);
    const ref = slab.alloc('test');
    const p = slab.at(ref);
    S.big.set(machine.mem, p, 2 ** 53 - 1);
    S.a.store(machine.mem, p, 7);
    expect(S.a.cas(machine.mem, p, 7, 9)).toBe(7);
    expect(S.a.add(machine.mem, p, 1)).toBe(9);
    expect(S.$dump(machine.mem, p)).toEqual({ a: 10, big: 2 ** 53 - 1 });
    slab.free(ref);
  });
});
