import { i32, KernelBug, KernelError, kmemSlab, Machine, struct, words } from '@dmabuf-emu/shm';
import { propertyRuns, startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const S = struct('thing', { a: i32(), b: i32(), c: i32(), d: i32() });
const contend = new URL(import.meta.resolve('#dist/arena/slab.test-worker.js'));

describe('Slab', () => {
  it('gives zeroed slots and takes them back', () => {
    using machine = testMachine();
    const slab = machine.slab(S);
    const first = slab.alloc('test');
    S.d.set(machine.mem, slab.at(first), 42);
    slab.free(first);
    const second = slab.alloc('test');
    expect(S.d.get(machine.mem, slab.at(second))).toBe(0);
    expect(second).not.toBe(first);
    slab.free(second);
  });

  it('detects a stale reference and names who freed it', () => {
    using machine = testMachine();
    const slab = machine.slab(S);
    const ref = slab.alloc('test');
    slab.free(ref, 'the_freeing_site');
    machine.diag.expect('bug', 'use-after-free');
    expect(slab.tryAt(ref)).toBe(0);
    expect(() => slab.at(ref)).toThrow(KernelBug);
    expect(() => slab.free(ref)).toThrow(/thing #\d+ generation 1 is gone, last touched by task 1 at the_freeing_site/);
    expect(machine.tainted).toBe(true);
  });

  it('reports the null reference', () => {
    using machine = testMachine();
    machine.diag.expect('bug', 'null-ref');
    expect(() => machine.slab(S).at(0)).toThrow(/null reference/);
    expect(machine.slab(S).tryAt(0)).toBe(0);
  });

  it('runs out with ENOMEM, everything undone, and goes on after a free', () => {
    using machine = testMachine({ arenaBytes: 4 << 20 });
    const big = kmemSlab(machine, 65000);
    const refs: number[] = [];
    expect(() => {
      for (;;) refs.push(big.alloc('big'));
    }).toThrow(KernelError);
    expect(refs.length).toBeGreaterThan(3);
    big.free(refs.pop()!);
    refs.push(big.alloc('big'));
    for (const ref of refs) big.free(ref);
  });

  it('refuses to create two structs of one name and different size in one slab', () => {
    using machine = testMachine();
    machine.root('area', 20);
    expect(() => machine.root('area', 21)).toThrow(/has 20 words, asked for 21/);
  });

  it('has a size class for every array length', () => {
    using machine = testMachine();
    for (const count of [1, 15, 16, 31, 32, 1000]) {
      const slab = kmemSlab(machine, count);
      expect(slab.struct.$words - 1).toBeGreaterThanOrEqual(count);
      expect(slab.struct.$words).toBeLessThan(Math.max(17, 2 * (count + 2)));
    }
    expect(() => kmemSlab(machine, 1 << 21)).toThrow(/ENOMEM/);
  });

  it('keeps live slots distinct under any sequence of allocations and frees', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -20, max: 60 }), { maxLength: 60 }), (steps) => {
        using machine = testMachine();
        const slab = machine.slab(S);
        const live: number[] = [];
        for (const step of steps) {
          if (step >= 0) {
            for (let i = 0; i < step; i++) {
              const ref = slab.alloc('test');
              S.a.set(machine.mem, slab.at(ref), ref);
              live.push(ref);
            }
          } else for (const ref of live.splice(0, -step)) slab.free(ref);
        }
        for (const ref of live) expect(S.a.get(machine.mem, slab.at(ref))).toBe(ref);
        expect([...slab.live()].toSorted((a, b) => a - b)).toEqual(live.toSorted((a, b) => a - b));
        for (const ref of live) slab.free(ref);
      }),
      { numRuns: propertyRuns(60) },
    );
  });

  it('never hands a slot to two threads', async () => {
    using machine = testMachine();
    machine.slab(S);
    const workers = [1, 2].map((n) =>
      startTestWorker<number>(contend, machine, { rounds: 20_000, seed: n }, `slab-${n}`),
    );
    const counts = await Promise.all(workers.map((w) => w.result));
    expect(counts).toEqual([20_000, 20_000]);
    expect([...machine.slab(S).live()]).toEqual([]);
  });

  it('fails the allocation that is asked for, at the site asked for', () => {
    using machine = testMachine();
    const slab = machine.slab(S);
    machine.faults.failNth(2, { site: 'here' });
    const refs = [slab.alloc('there'), slab.alloc('here')];
    expect(() => slab.alloc('here')).toThrow(/ENOMEM, here: injected/);
    refs.push(slab.alloc('here'));
    expect(machine.faults.count).toBe(1);
    for (const ref of refs) slab.free(ref);
  });

  it('fails about the asked rate of allocations, the same ones for the same seed', () => {
    const run = (seed: number): string => {
      using machine = testMachine();
      const slab = machine.slab(struct('rated', { x: words(2) }));
      machine.faults.rate(0.1, seed);
      let pattern = '';
      for (let i = 0; i < 1000; i++) {
        try {
          slab.free(slab.alloc('test'));
          pattern += '.';
        } catch (error) {
          expect(error).toMatchObject({ code: 'ENOMEM', errno: 12 });
          pattern += 'x';
        }
      }
      machine.faults.off();
      return pattern;
    };
    const first = run(5);
    expect(first).toBe(run(5));
    expect(first).not.toBe(run(6));
    const failed = first.split('x').length - 1;
    expect(failed).toBeGreaterThan(60);
    expect(failed).toBeLessThan(150);
  });

  it('works without WebAssembly', () => {
    using machine = testMachine({ movers: 'js' });
    expect(machine.mem.kind).toBe('js');
    machine.slab(S).free(machine.slab(S).alloc('test'));
  });

  it('counts lost slots as an error', () => {
    using machine = Machine.create();
    const slab = machine.slab(S);
    const ref = slab.alloc('test');
    machine.mem.i32[slab.at(ref)]! &= 0x3fffff;
    expect(machine.verify().errors).toEqual([expect.stringContaining('1 slots are neither live nor free')]);
  });
});
