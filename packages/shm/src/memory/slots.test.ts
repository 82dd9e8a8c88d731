import { GEN_ONE, geometryOf, INDEX_BITS, INDEX_MASK } from '#dist/memory/slots.js';
import { Mem } from '@dmabuf-emu/shm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const seed = 20260823;

describe('slots', () => {
  const DIR = 1024;
  const MAG = 8;
  const LIMIT = 4;
  const GEOMETRY = geometryOf(4, 1);
  const wordsOf = (mem: Mem): number[] => [...mem.i32.subarray(0, 512)];
  const make = (movers: 'wasm' | 'js'): Mem => {
    const mem = Mem.reserve(65536, movers);
    mem.i32.set([64, 128], DIR);
    mem.i32.set([4, 0, 1, 2, 3], MAG);
    return mem;
  };

  it(`live and die in the same way with and without WebAssembly`, () => {
    const step = fc.oneof(
      fc.record({ op: fc.constant('take' as const) }),
      fc.record({
        op: fc.constantFrom('give' as const, 'at' as const, 'load' as const, 'add' as const),
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
            if (s.op === 'take') return movers.slotTake(DIR, GEOMETRY, MAG);
            if (s.op === 'give') return movers.slotGive(DIR, GEOMETRY, MAG, LIMIT, ref);
            if (s.op === 'load') return movers.slotLoad(DIR, GEOMETRY, ref, 3);
            if (s.op === 'add') return movers.slotAdd(DIR, GEOMETRY, ref, 3, 7);
            return movers.slotAt(DIR, GEOMETRY, ref);
          });
          expect(theirs, JSON.stringify(s)).toBe(ours);
          if (s.op === 'take' && ours !== 0) refs.push(ours!);
          expect(wordsOf(b)).toEqual(wordsOf(a));
        }
      }),
      { seed },
    );
  });

  it.each(['wasm', 'js'] as const)('tell live refs from stale and foreign ones (%s)', (movers) => {
    const mem = make(movers);
    const { slotAt, slotTake, slotGive, slotLoad, slotAdd } = mem.movers;
    const ref = slotTake(DIR, GEOMETRY, MAG);
    expect(slotAt(DIR, GEOMETRY, ref)).toBe(128 + 4);
    expect(slotAdd(DIR, GEOMETRY, ref, 3, 5)).toBe(0);
    expect(slotLoad(DIR, GEOMETRY, ref, 3)).toBe(5);
    expect(slotGive(DIR, GEOMETRY, MAG, LIMIT, ref)).toBe(1);
    expect(slotGive(DIR, GEOMETRY, MAG, LIMIT, ref)).toBe(-1);
    expect([slotAt(DIR, GEOMETRY, ref), slotLoad(DIR, GEOMETRY, ref, 3), slotAdd(DIR, GEOMETRY, ref, 3, 1)]).toEqual([
      0, -1, -1,
    ]);
    expect(mem.i32[128 + 4 + 3]).toBe(5);
    const again = slotTake(DIR, GEOMETRY, MAG);
    expect([again & INDEX_MASK, again >>> INDEX_BITS]).toEqual([3, 3]);
    expect(slotAt(DIR, GEOMETRY, ref)).toBe(0);
    for (const foreign of [0, again & INDEX_MASK, again + GEN_ONE, again | 0x3fff00, GEN_ONE | 4, -1]) {
      expect(slotAt(DIR, GEOMETRY, foreign), `#${foreign >>> 0}`).toBe(0);
    }
    expect([1, 2, 3].map(() => slotTake(DIR, GEOMETRY, MAG) !== 0)).toEqual([true, true, true]);
    expect(slotTake(DIR, GEOMETRY, MAG)).toBe(0);
  });

  it.each(['wasm', 'js'] as const)('stay live when the magazine is full (%s)', (movers) => {
    const { movers: m } = make(movers);
    const ref = m.slotTake(DIR, GEOMETRY, MAG);
    expect(m.slotGive(DIR, GEOMETRY, MAG, 3, ref)).toBe(0);
    expect(m.slotAt(DIR, GEOMETRY, ref)).not.toBe(0);
  });
});
