import { Mem, Random } from '@dmabuf-emu/shm';
import { describe, expect, it } from 'vitest';

const seed = 20260823;

describe.each(['wasm', 'js'] as const)('Mem with %s movers', (movers) => {
  it('copies overlapping ranges and fills', () => {
    const mem = Mem.reserve(65536, movers);
    mem.write(100, new Uint8Array([1, 2, 3, 4, 5]));
    mem.copy(102, 100, 5);
    expect([...mem.read(100, 7)]).toEqual([1, 2, 1, 2, 3, 4, 5]);
    mem.fill(101, 0xee, 3);
    expect([...mem.read(100, 5)]).toEqual([1, 0xee, 0xee, 0xee, 3]);
  });

  it('has atomic words that answer as Atomics do', () => {
    const mem = Mem.reserve(65536, movers);
    const twin = new Int32Array(new SharedArrayBuffer(64));
    const { load, store, add, sub, and, or, xor, exchange, cas } = mem.movers;
    const steps: readonly [name: string, ours: (v: number) => unknown, theirs: (v: number) => unknown][] = [
      ['add', (v) => add(3, v), (v) => Atomics.add(twin, 3, v)],
      ['sub', (v) => sub(3, v), (v) => Atomics.sub(twin, 3, v)],
      ['and', (v) => and(3, v), (v) => Atomics.and(twin, 3, v)],
      ['or', (v) => or(3, v), (v) => Atomics.or(twin, 3, v)],
      ['xor', (v) => xor(3, v), (v) => Atomics.xor(twin, 3, v)],
      ['exchange', (v) => exchange(3, v), (v) => Atomics.exchange(twin, 3, v)],
      ['cas that fails', (v) => cas(3, load(3) ^ 1, v), (v) => Atomics.compareExchange(twin, 3, twin[3]! ^ 1, v)],
      ['cas', (v) => cas(3, load(3), v), (v) => Atomics.compareExchange(twin, 3, twin[3]!, v)],
    ];
    for (const value of [0, 1, -1, 0x7fffffff, -0x80000000, 0x12345678, 0xfedcba98]) {
      for (const [name, ours, theirs] of steps) {
        store(3, value);
        Atomics.store(twin, 3, value);
        for (const operand of [0, 5, -7, 0x80000000, 0xffffffff]) {
          expect(ours(operand), `${name} ${value} ${operand}`).toBe(theirs(operand));
          expect(load(3), `${name} ${value} ${operand}`).toBe(Atomics.load(twin, 3));
        }
      }
    }
    expect([...mem.i32.subarray(0, 8)]).toEqual([0, 0, 0, twin[3], 0, 0, 0, 0]);
    expect(() => load(65536 / 4)).toThrow(/out of bounds|out-of-range|invalid atomic/i);
  });

  it('refuses a size it cannot have, saying what it may be', () => {
    expect(() => Mem.reserve(0, movers)).toThrow(/1 byte to 4 GiB, got 0/);
    expect(() => Mem.reserve(2 ** 33, movers)).toThrow(/4 GiB/);
  });
});

describe.each(['wasm', 'js'] as const)('spins of %s movers', (kind) => {
  const at = 40;
  const start = (value: number): Mem => {
    const mem = Mem.reserve(65536, kind);
    mem.i32[at] = value;
    return mem;
  };

  it('end at once when there is what they wait for, else after their turns', () => {
    const { movers } = start(5);
    expect([movers.spinWhileEqual(at, 4, 9), movers.spinWhileEqual(at, 5, 9), movers.spinWhileEqual(at, 4, 0)]).toEqual(
      [1, 0, 0],
    );
    expect([movers.spinWhileClear(at, 6, 9), movers.spinWhileClear(at, 2, 9), movers.spinWhileClear(at, 1, 0)]).toEqual(
      [1, 0, 0],
    );
  });

  it.each([
    { word: 0, turns: 0, stop: 2, result: 0, after: 12 },
    { word: 20, turns: 50, stop: 2, result: 20, after: 20 },
    { word: 22, turns: 2 ** 30, stop: 2, result: 22, after: 22 },
  ])('take a lock word that is free: $word', ({ word, turns, stop, result, after }) => {
    const mem = start(word);
    expect([mem.movers.lockSpin(at, 12, stop, turns), mem.i32[at]]).toEqual([result, after]);
  });

  it.each([
    { word: 0, result: 0, after: 0 },
    { word: 1, result: 0, after: 1 },
    { word: 4, result: 1, after: 2 },
    { word: 5, result: 1, after: 3 },
    { word: 64, result: 1, after: 64 },
  ])('take one off a count, not off flags nor off "all": $word', ({ word, result, after }) => {
    for (const turns of [0, 20]) {
      const mem = start(word);
      expect([mem.movers.countSpin(at, 2, 1, 64, turns), mem.i32[at]]).toEqual([result, after]);
    }
  });
});

describe('hash', () => {
  it(`is the same number with and without WebAssembly (seed ${seed})`, () => {
    const [a, b] = [Mem.reserve(1 << 16, 'wasm'), Mem.reserve(1 << 16, 'js')];
    const random = new Random(seed);
    for (let i = 0; i < 1 << 14; i++) a.i32[i] = random.next32() | 0;
    b.u8.set(a.u8);
    for (let n = 0; n < 200; n++) {
      const [at, length] = [random.below(3000), random.below(3000)];
      expect(b.hash(at, length)).toBe(a.hash(at, length));
    }
  });

  it('notices every single changed byte of a block', () => {
    const mem = Mem.reserve(4096);
    const before = mem.hash(0, 100);
    for (let i = 0; i < 100; i++) {
      mem.u8[i] = 1;
      expect(mem.hash(0, 100), `byte ${i}`).not.toBe(before);
      mem.u8[i] = 0;
    }
  });
});

describe('Mem.instantiate', () => {
  // (module (import "env" "memory" (memory 1 65536 shared)) (func (export "load") (result i32) (i32.load (i32.const 64))))
  const module = 'AGFzbQEAAAABBQFgAAF/AhIBA2VudgZtZW1vcnkCAwGAgAQDAgEABwgBBGxvYWQAAAoKAQgAQcAAKAIACw==';

  it('runs a module over the memory', () => {
    const mem = Mem.reserve(65536, 'wasm');
    mem.i32[16] = 4711;
    expect((mem.instantiate(module) as { load: () => number }).load()).toBe(4711);
  });

  it('is null where bytes are moved by JavaScript', () => {
    expect(Mem.reserve(65536, 'js').instantiate(module)).toBeNull();
  });
});
