import { GEN_ONE, geometryOf, INDEX_BITS, INDEX_MASK, MAGAZINE } from '#dist/memory/slots.js';
import { Mem } from '@dmabuf-emu/shm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const seed = 20260823;

describe('slots', () => {
  const DIR = 1024;
  const MAG = 8;
  const GEOMETRY = geometryOf(8, 1);
  const wordsOf = (mem: Mem): number[] => [...mem.i32.subarray(0, 512)];
  const make = (movers: 'wasm' | 'js'): Mem => {
    const mem = Mem.reserve(65536, movers);
    mem.i32.set([256, 320], DIR);
    mem.i32.set([4, 0, 1, 2, 3], MAG);
    return mem;
  };

  it(`live and die in the same way with and without WebAssembly`, () => {
    const step = fc.oneof(
      fc.record({ op: fc.constantFrom('take' as const, 'make' as const) }),
      fc.record({
        op: fc.constantFrom(
          'give' as const,
          'at' as const,
          'load' as const,
          'add' as const,
          'mark' as const,
          'put' as const,
        ),
        pick: fc.nat(20),
      }),
      fc.record({ op: fc.constant('junk' as const), ref: fc.integer() }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const [a, b] = [make('wasm'), make('js')];
        const refs = [0];
        for (const s of steps) {
          const ref = 'ref' in s ? s.ref : 'pick' in s ? refs[s.pick % refs.length]! : 0;
          const [ours, theirs] = [a, b].map(({ movers }) => {
            if (s.op === 'take') return movers.slotTake(DIR, GEOMETRY, MAG, 0);
            if (s.op === 'make') return movers.slotMake(DIR, GEOMETRY, MAG, 9, 1, -2, 0x100, 2 ** 40 + 1);
            if (s.op === 'mark') return movers.slotMark(DIR, GEOMETRY, ref, 2, 3, 123.5);
            if (s.op === 'put') return movers.slotPut(DIR, GEOMETRY, MAG, ref, ~0xf0, 0x102);
            if (s.op === 'give') return movers.slotGive(DIR, GEOMETRY, MAG, ref);
            if (s.op === 'load') return movers.slotLoad(DIR, GEOMETRY, ref, 3);
            if (s.op === 'add') return movers.slotAdd(DIR, GEOMETRY, ref, 3, 0x100);
            return movers.slotAt(DIR, GEOMETRY, ref);
          });
          expect(theirs, JSON.stringify(s)).toBe(ours);
          if ((s.op === 'take' || s.op === 'make') && ours !== 0) refs.push(ours!);
          expect(wordsOf(b)).toEqual(wordsOf(a));
        }
      }),
      { seed },
    );
  });

  it.each(['wasm', 'js'] as const)('tell live refs from stale and foreign ones (%s)', (movers) => {
    const mem = make(movers);
    const { slotAt, slotTake, slotGive, slotLoad, slotAdd } = mem.movers;
    const ref = slotTake(DIR, GEOMETRY, MAG, 0);
    expect(slotAt(DIR, GEOMETRY, ref)).toBe(320 + 8);
    expect(slotAdd(DIR, GEOMETRY, ref, 3, 5)).toBe(0);
    expect(slotLoad(DIR, GEOMETRY, ref, 3)).toBe(5);
    expect(slotGive(DIR, GEOMETRY, MAG, ref)).toBe(1);
    expect(slotGive(DIR, GEOMETRY, MAG, ref)).toBe(-1);
    expect([slotAt(DIR, GEOMETRY, ref), slotLoad(DIR, GEOMETRY, ref, 3), slotAdd(DIR, GEOMETRY, ref, 3, 1)]).toEqual([
      0, -1, -1,
    ]);
    expect(mem.i32[320 + 8 + 3]).toBe(5);
    const again = slotTake(DIR, GEOMETRY, MAG, 0);
    expect([again & INDEX_MASK, again >>> INDEX_BITS]).toEqual([3, 3]);
    expect(slotAt(DIR, GEOMETRY, ref)).toBe(0);
    for (const foreign of [0, again & INDEX_MASK, again + GEN_ONE, again | 0x3fff00, GEN_ONE | 4, -1]) {
      expect(slotAt(DIR, GEOMETRY, foreign), `#${foreign >>> 0}`).toBe(0);
    }
    expect([1, 2, 3].map(() => slotTake(DIR, GEOMETRY, MAG, 0) !== 0)).toEqual([true, true, true]);
    expect(slotTake(DIR, GEOMETRY, MAG, 0)).toBe(0);
  });

  it.each(['wasm', 'js'] as const)('stay live when the magazine is full (%s)', (movers) => {
    const mem = make(movers);
    const { slotAt, slotGive, slotMake, slotMark, slotPut } = mem.movers;
    const ref = slotMake(DIR, GEOMETRY, MAG, 0, 0, 0, 0x100, 0);
    mem.i32[MAG] = MAGAZINE;
    expect(slotGive(DIR, GEOMETRY, MAG, ref)).toBe(0);
    expect(slotMark(DIR, GEOMETRY, ref, 2, 2, 1)).toBe(0x100);
    expect(slotPut(DIR, GEOMETRY, MAG, ref, -1, 0x102)).toBe(0x102);
    expect(slotAt(DIR, GEOMETRY, ref)).not.toBe(0);
  });

  it.each(['wasm', 'js'] as const)('are filled, marked once and freed with the last reference (%s)', (movers) => {
    const mem = make(movers);
    const { slotAt, slotMake, slotMark, slotPut } = mem.movers;
    const ref = slotMake(DIR, GEOMETRY, MAG, 5, -1, 7, 0x200, 2 ** 50);
    const p = slotAt(DIR, GEOMETRY, ref);
    expect([...mem.i32.subarray(p, p + 4)]).toEqual([GEN_ONE | 5, -1, 7, 0x200]);
    expect([...mem.f64.subarray((p + 4) / 2, (p + 8) / 2)]).toEqual([2 ** 50, 0]);
    expect(slotMark(DIR, GEOMETRY, ref, 2, 3, 8.5)).toBe(0x200);
    expect([mem.i32[p + 3], mem.f64[(p + 6) / 2]]).toEqual([0x202, 8.5]);
    expect(slotMark(DIR, GEOMETRY, ref, 2, 3, 9)).toBe(-1);
    expect(mem.f64[(p + 6) / 2]).toBe(8.5);
    expect(slotPut(DIR, GEOMETRY, MAG, ref, -1, 0x102)).toBe(0x202);
    expect(slotPut(DIR, GEOMETRY, MAG, ref, -1, 0x102)).toBe(-2);
    expect([slotAt(DIR, GEOMETRY, ref), slotPut(DIR, GEOMETRY, MAG, ref, -1, 0x102)]).toEqual([0, -1]);
    expect([mem.i32[p + 3], mem.i32[MAG]]).toEqual([2, 4]);
  });
});
