import { defineFenceOps, Fence, Resv, ResvUsage } from '@dmabuf-emu/core';
import { capacityFor } from '#dist/resv/internal/list.js';
import { MAX, NUM, ResvStruct } from '#dist/resv/internal/layout.js';
import { mockFence, mockOps } from '#dist/fence/mock-fence.test-worker.js';
import { KernelBug, type Machine } from '@dmabuf-emu/shm';
import { propertyRuns, testMachine } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ModelFence, ModelResv } from './model.fixture.ts';

const { KERNEL, WRITE, READ, BOOKKEEP } = ResvUsage;
type Entry = [context: number, seqno: number, usage: ResvUsage];

const entries = (resv: Resv): Entry[] => {
  const found: Entry[] = [];
  resv.forEach(BOOKKEEP, (fence, usage) => found.push([fence.context, fence.seqno, usage]));
  return found;
};

/** Room of the list, as its memory says. */
function room(machine: Machine, resv: Resv): { num: number; max: number } {
  const list = ResvStruct.list.get(machine.mem, machine.slab(ResvStruct).at(resv.ref));
  return { num: machine.mem.i32[list + NUM]!, max: machine.mem.i32[list + MAX]! };
}

/** A machine with a locked, reserved reservation object, which is emptied at the end. */
function setUp(reserved = 8) {
  const machine = testMachine();
  const resv = Resv.create(machine);
  resv.lock();
  resv.reserveFences(reserved);
  const made: Fence[] = [];
  return {
    machine,
    resv,
    fence(context: number, seqno: number): Fence {
      const fence = mockFence(machine, context, seqno);
      made.push(fence);
      return fence;
    },
    [Symbol.dispose](): void {
      resv.unlock();
      for (const fence of made) fence.put();
      resv.destroy();
      machine[Symbol.dispose]();
    },
  };
}

/** The replacement table of spec §2.4. */
describe('dma_resv_add_fence', () => {
  it.each([
    ['replaces an older one of its class', READ, 1, READ, 2, [[1, 2, READ]]],
    ['promotes by replacing', READ, 1, WRITE, 2, [[1, 2, WRITE]]],
    [
      'never demotes',
      WRITE,
      1,
      READ,
      2,
      [
        [1, 1, WRITE],
        [1, 2, READ],
      ],
    ],
    [
      'keeps a later one',
      READ,
      2,
      READ,
      1,
      [
        [1, 2, READ],
        [1, 1, READ],
      ],
    ],
    [
      'keeps another object of the same seqno',
      READ,
      1,
      READ,
      1,
      [
        [1, 1, READ],
        [1, 1, READ],
      ],
    ],
    [
      'keeps KERNEL beside WRITE',
      KERNEL,
      1,
      WRITE,
      2,
      [
        [1, 1, KERNEL],
        [1, 2, WRITE],
      ],
    ],
    [
      'keeps KERNEL beside BOOKKEEP',
      KERNEL,
      1,
      BOOKKEEP,
      2,
      [
        [1, 1, KERNEL],
        [1, 2, BOOKKEEP],
      ],
    ],
    ['wraps at 2^32', READ, 2 ** 32 - 1, READ, 0, [[1, 0, READ]]],
  ] as const)('%s', (_, oldUsage, oldSeqno, usage, seqno, expected) => {
    using s = setUp();
    const [old, fence] = [s.fence(1, oldSeqno), s.fence(1, seqno)];
    s.resv.addFence(old, oldUsage);
    s.resv.addFence(fence, usage);
    expect(entries(s.resv)).toEqual(expected);
    expect([old.refCount, fence.refCount]).toEqual([expected.length, 2]);
  });

  it.each([
    ['is replaced by itself', READ, READ, [[1, 1, READ]]],
    ['is promoted', BOOKKEEP, READ, [[1, 1, READ]]],
    [
      'is listed twice when it comes weaker',
      READ,
      BOOKKEEP,
      [
        [1, 1, READ],
        [1, 1, BOOKKEEP],
      ],
    ],
  ] as const)('the same object %s', (_, first, second, expected) => {
    using s = setUp();
    const fence = s.fence(1, 1);
    s.resv.addFence(fence, first);
    s.resv.addFence(fence, second);
    expect(entries(s.resv)).toEqual(expected);
    expect(fence.refCount).toBe(1 + expected.length);
  });

  it('takes the first slot that is signalled or superseded, and only that', () => {
    using s = setUp();
    const [a, b, c] = [s.fence(1, 1), s.fence(2, 1), s.fence(3, 1)];
    for (const fence of [a, b, c]) s.resv.addFence(fence, READ);
    a.signalUnowned();
    b.signalUnowned();
    s.resv.addFence(s.fence(3, 2), READ);
    expect(entries(s.resv)).toEqual([
      [3, 2, READ],
      [2, 1, READ],
      [3, 1, READ],
    ]);
    expect([a.refCount, b.refCount]).toEqual([1, 2]);
  });

  it('polls the slots before the one it takes, no later ones, and none that it supersedes', () => {
    using s = setUp();
    const polled: number[] = [];
    const ops = defineFenceOps({
      ...mockOps,
      name: 'polled',
      signaled: (fence) => void polled.push(fence.context) as never,
    });
    const fences = [1, 2, 3].map((context) => mockFence(s.machine, context, 1, ops));
    for (const fence of fences) s.resv.addFence(fence, READ);
    polled.length = 0;
    s.resv.addFence(s.fence(2, 2), READ);
    expect(polled).toEqual([1]);
    for (const fence of fences) fence.put();
  });

  it('warns of containers, and takes them', () => {
    using s = setUp();
    s.machine.diag.expect('warn', 'resv-container');
    const fence = mockFence(s.machine, 1, 1, defineFenceOps({ ...mockOps, name: 'array', isContainer: true }));
    s.resv.addFence(fence, READ);
    expect(entries(s.resv)).toHaveLength(1);
    fence.put();
  });

  it('without room is a BUG', () => {
    using s = setUp(4);
    s.machine.diag.expect('bug', 'resv-full');
    for (let context = 1; context <= 5; context++) s.resv.addFence(s.fence(context, 1), READ);
    const last = s.fence(6, 1);
    expect(() => s.resv.addFence(last, READ)).toThrow(KernelBug);
    expect(last.refCount).toBe(1);
  });

  it('without any reservation ever is a BUG', () => {
    using machine = testMachine();
    machine.diag.expect('bug', 'resv-unreserved');
    const resv = Resv.create(machine);
    const fence = mockFence(machine);
    resv.lock();
    expect(() => resv.addFence(fence, READ)).toThrow(/without any dma_resv_reserve_fences/);
    resv.unlock();
    fence.put();
    resv.destroy();
  });
});

describe('dma_resv_reserve_fences', () => {
  it.each([
    [4, 5],
    [8, 9],
    [16, 21],
    [32, 61],
    [1000, 1021],
    [2000, 2045],
  ])('of %d slots gets what the allocator gives: %d', (count, slots) => {
    expect(capacityFor(count)).toBe(slots);
  });

  it('makes room for four at least, then doubles', () => {
    using machine = testMachine({ lockdep: false });
    const resv = Resv.create(machine);
    const rooms: number[] = [];
    resv.lock();
    for (let n = 1; n <= 30; n++) {
      resv.reserveFences(1);
      const fence = mockFence(machine, n, 1);
      resv.addFence(fence, READ);
      fence.put();
      rooms.push(room(machine, resv).max);
    }
    expect([...new Set(rooms)]).toEqual([5, 13, 29, 61]);
    resv.unlock();
    expect(room(machine, resv)).toEqual({ num: 30, max: 61 });
    resv.destroy();
  });

  it('rounds a first request up to a power of two', () => {
    using machine = testMachine();
    const resv = Resv.create(machine);
    resv.with(() => {
      resv.reserveFences(9);
      expect(room(machine, resv)).toEqual({ num: 0, max: 21 });
    });
    resv.destroy();
  });

  it('drops signalled fences when the list moves, not before', () => {
    using s = setUp(4);
    const fences = [1, 2, 3, 4, 5].map((context) => s.fence(context, 1));
    for (const fence of fences) s.resv.addFence(fence, READ);
    fences[1]!.signalUnowned();
    fences[3]!.signalUnowned();
    expect(entries(s.resv)).toHaveLength(5);
    s.resv.reserveFences(1);
    expect(entries(s.resv)).toEqual([
      [1, 1, READ],
      [3, 1, READ],
      [5, 1, READ],
    ]);
    expect(fences.map((f) => f.refCount)).toEqual([2, 1, 2, 1, 2]);
  });

  it('is lost at unlock, when lock validation is on', () => {
    using machine = testMachine();
    machine.diag.expect('bug', 'resv-full');
    const resv = Resv.create(machine);
    resv.with(() => resv.reserveFences(2));
    const fence = mockFence(machine);
    resv.lock();
    expect(room(machine, resv)).toEqual({ num: 0, max: 0 });
    expect(() => resv.addFence(fence, READ)).toThrow(KernelBug);
    resv.reserveFences(1);
    expect(room(machine, resv).max).toBe(5);
    resv.unlock();
    fence.put();
    resv.destroy();
  });

  it.each([0, -1, Number.NaN])('of %d is refused', (count) => {
    using s = setUp();
    s.machine.diag.expect('warn', 'resv-reserve');
    expect(() => s.resv.reserveFences(count)).toThrow(/EINVAL, dma_resv_reserve_fences.*got/);
  });

  it('that fails with ENOMEM leaves everything as it was', () => {
    using s = setUp(4);
    for (let context = 1; context <= 5; context++) s.resv.addFence(s.fence(context, 1), READ);
    s.machine.faults.failNth(1, { site: 'dma_resv_reserve_fences' });
    expect(() => s.resv.reserveFences(1)).toThrow(/ENOMEM/);
    expect(entries(s.resv)).toHaveLength(5);
  });
});

describe('dma_resv_replace_fences', () => {
  it('puts the new fence in every slot of the context, each with a reference', () => {
    using s = setUp();
    const [a, b, other, by] = [s.fence(1, 1), s.fence(1, 2), s.fence(2, 1), s.fence(9, 1)];
    s.resv.addFence(a, KERNEL);
    s.resv.addFence(other, READ);
    s.resv.addFence(b, READ);
    s.resv.replaceFences(1, by, BOOKKEEP);
    expect(entries(s.resv)).toEqual([
      [9, 1, BOOKKEEP],
      [2, 1, READ],
      [9, 1, BOOKKEEP],
    ]);
    expect([a.refCount, b.refCount, by.refCount]).toEqual([1, 1, 3]);
    s.resv.replaceFences(7, a, READ);
    expect(a.refCount).toBe(1);
  });
});

describe('any sequence of operations', () => {
  const seed = Number(process.env['FC_SEED'] ?? Date.now() % 2 ** 31);
  const usage = fc.constantFrom(KERNEL, WRITE, READ, BOOKKEEP);
  const pick = fc.nat(23);
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ op: fc.constant('add' as const), n: pick, usage }) },
    { weight: 2, arbitrary: fc.record({ op: fc.constant('signal' as const), n: pick }) },
    {
      weight: 2,
      arbitrary: fc.record({ op: fc.constant('reserve' as const), count: fc.integer({ min: 1, max: 12 }) }),
    },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('replace' as const), context: fc.nat(4), n: pick, usage }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('unlock' as const) }) },
  );

  it(`gives what the model gives (seed ${seed})`, () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        using machine = testMachine();
        const resv = Resv.create(machine);
        const model = new ModelResv();
        const fences = Array.from({ length: 24 }, (_, n) => mockFence(machine, n % 4, n >> 2));
        const models = fences.map((f): ModelFence => ({ context: f.context, seqno: f.seqno, signaled: false }));
        resv.lock();
        for (const s of steps) {
          if (s.op === 'add') {
            if (model.max === 0) continue;
            if (!model.add(models[s.n]!, s.usage)) continue;
            resv.addFence(fences[s.n]!, s.usage);
          } else if (s.op === 'signal') {
            models[s.n]!.signaled = true;
            fences[s.n]!.signalUnowned();
          } else if (s.op === 'reserve') {
            model.reserve(s.count);
            resv.reserveFences(s.count);
          } else if (s.op === 'replace') {
            model.replace(s.context, models[s.n]!, s.usage);
            resv.replaceFences(s.context, fences[s.n]!, s.usage);
          } else {
            model.unlock();
            resv.unlock();
            resv.lock();
          }
          const want = model.entries.map((e): Entry => [e.fence.context, e.fence.seqno, e.usage]);
          expect(entries(resv)).toEqual(want);
          if (want.length > 0 || model.max > 0)
            expect(room(machine, resv)).toEqual({ num: want.length, max: model.max });
        }
        for (const u of [KERNEL, WRITE, READ, BOOKKEEP]) {
          expect(resv.testSignaled(u)).toBe(model.pending(u).length === 0);
          const got = resv.getFences(u);
          expect(got.map((f) => [f.context, f.seqno])).toEqual(
            model.pending(u).map((e) => [e.fence.context, e.fence.seqno]),
          );
          for (const f of got) f.put();
        }
        for (const [n, f] of fences.entries()) {
          expect(f.refCount).toBe(1 + model.entries.filter((e) => e.fence === models[n]).length);
        }
        resv.unlock();
        for (const f of fences) f.put();
        resv.destroy();
      }),
      { seed, numRuns: propertyRuns(150) },
    );
  });
});
