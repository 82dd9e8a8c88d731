import {
  defineFenceOps,
  Fence,
  FenceArray,
  fenceArrayCreate,
  type FenceArrayInit,
  fenceArrayFirst,
  fenceArrayNext,
  FenceCallback,
  fenceCreate,
  fenceContextAlloc,
  fenceLock,
  fenceMatchContext,
  fenceUnlock,
  fenceUnwrap,
  fenceUnwrapMerge,
  mergeFences,
  Resv,
  ResvUsage,
} from '@dmabuf-emu/core';
import { countCallback, mockFence, mockOps } from '#dist/fence/mock-fence.test-worker.js';
import { atomicLoad, ERRNO, Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';

/** An array of `count` fresh fences, which the test holds too. */
function setUp(machine: Machine, count: number, init: FenceArrayInit = {}): { fences: Fence[]; array: Fence } {
  const fences = Array.from({ length: count }, () => mockFence(machine, fenceContextAlloc(machine), 1));
  const { fence: array } = FenceArray.create(
    machine,
    fences.map((f) => f.get()),
    init,
  );
  return { fences, array };
}

function put(...fences: Fence[]): void {
  for (const fence of fences) fence.put();
}

/** core §3.14 */
describe('fence arrays', () => {
  it('end with their last member, once somebody waits', () => {
    using machine = testMachine();
    const { fences, array } = setUp(machine, 3);
    array.enableSignaling();
    for (const fence of fences) {
      expect(array.signaledFlag()).toBe(false);
      fence.signalUnowned();
    }
    expect(array.signaledFlag()).toBe(true);
    expect(array.status()).toBe(1);
    put(array, ...fences);
  });

  it('end with their first member when they shall', () => {
    using machine = testMachine();
    const { fences, array } = setUp(machine, 3, { signalOnAny: true });
    array.enableSignaling();
    fences[1]!.setError('EIO');
    fences[1]!.signalUnowned();
    expect(array.status()).toBe(-ERRNO.EIO);
    fences[0]!.setError('ETIME');
    fences[0]!.signalUnowned();
    fences[2]!.signalUnowned();
    expect(array.status()).toBe(-ERRNO.EIO);
    put(array, ...fences);
  });

  it('end at once when it turns out that enough members have', () => {
    using machine = testMachine();
    const { fences, array } = setUp(machine, 2);
    fences[0]!.setError('EIO');
    for (const fence of fences) fence.signalUnowned();
    expect(array.signaledFlag()).toBe(false);
    array.enableSignaling();
    expect(array.signaledFlag()).toBe(true);
    expect(array.status()).toBe(-ERRNO.EIO);
    put(array, ...fences);
  });

  it('forget errors when nobody waited and somebody asks', () => {
    using machine = testMachine();
    const { fences, array } = setUp(machine, 2);
    fences[0]!.setError('EIO');
    for (const fence of fences) fence.signalUnowned();
    expect(array.isSignaled()).toBe(true);
    expect(array.status()).toBe(1);
    put(array, ...fences);
  });

  it('are asked for on the way to a first member as well', () => {
    using machine = testMachine();
    const { fences, array } = setUp(machine, 3, { signalOnAny: true });
    expect(array.isSignaled()).toBe(false);
    fences[2]!.signalUnowned();
    expect(array.isSignaled()).toBe(true);
    put(array, ...fences);
  });

  it('take the first error of a member', () => {
    using machine = testMachine();
    const { fences, array } = setUp(machine, 3);
    array.enableSignaling();
    fences[2]!.setError('ETIME');
    fences[2]!.signalUnowned();
    fences[0]!.setError('EIO');
    fences[0]!.signalUnowned();
    fences[1]!.signalUnowned();
    expect(array.status()).toBe(-ERRNO.ETIME);
    put(array, ...fences);
  });

  it('end after the callbacks of the member, with its lock free, though other locks are held', () => {
    using machine = testMachine();
    const { fences, array } = setUp(machine, 1);
    const [f] = fences as [Fence];
    const log: string[] = [];
    array.addCallback(() => log.push('array'));
    f.addCallback(() => log.push(`member, array ${array.signaledFlag()}`));
    const resv = Resv.create(machine);
    resv.with(() => {
      f.signalUnowned();
      expect(log).toEqual(['member, array false', 'array']);
    });
    resv.destroy();
    put(array, f);
  });

  it('are seen to have ended by whoever asks before that', () => {
    using machine = testMachine();
    const { fences, array } = setUp(machine, 1);
    const [f] = fences as [Fence];
    const log: unknown[] = [];
    array.addCallback(() => log.push('array'));
    f.addCallback(() => log.push(array.signaledFlag(), array.isSignaled()));
    f.signalUnowned();
    expect(log).toEqual(['array', false, true]);
    put(array, f);
  });

  it('wait for the last of the locks that the signaller holds', () => {
    using machine = testMachine();
    const { fences, array } = setUp(machine, 1);
    const [f] = fences as [Fence];
    const other = mockFence(machine);
    array.enableSignaling();
    fenceLock(machine, other.ref);
    f.signalUnowned();
    expect(f.signaledFlag()).toBe(true);
    expect(array.signaledFlag()).toBe(false);
    fenceUnlock(machine, other.ref);
    expect(array.signaledFlag()).toBe(true);
    put(array, f, other);
  });

  it('hold their members, and are held by those that they wait for', () => {
    using machine = testMachine();
    const { fences, array } = setUp(machine, 2);
    expect(fences.map((f) => f.refCount)).toEqual([2, 2]);
    array.enableSignaling();
    expect(array.refCount).toBe(3);
    array.put();
    expect(Fence.tryGet(machine, array.ref)?.put()).toBeUndefined();
    fences[0]!.signalUnowned();
    expect(array.refCount).toBe(1);
    fences[1]!.signalUnowned();
    expect(Fence.tryGet(machine, array.ref)).toBeUndefined();
    expect(fences.map((f) => f.refCount)).toEqual([1, 1]);
    put(...fences);
  });

  it('are named and described', () => {
    using machine = testMachine();
    const { fences, array } = setUp(machine, 1, { context: 77, seqno: 5 });
    expect([array.driverName(), array.timelineName()]).toEqual(['dma_fence_array', 'unbound']);
    expect(array.describe()).toBe('77:5 unbound dma_fence_array unsignalled\n');
    expect(array.isContainer).toBe(true);
    fences[0]!.signalUnowned();
    expect(array.describe()).toBe('77:5   signalled\n');
    expect([array.driverName(), array.timelineName()]).toEqual(['detached-driver', 'signaled-timeline']);
    put(array, ...fences);
  });

  it('give their members by number', () => {
    using machine = testMachine();
    const { fences, array } = setUp(machine, 2);
    const [f] = fences as [Fence];
    expect(
      FenceArray.of(array)!
        .members()
        .map((m) => m.ref),
    ).toEqual(fences.map((m) => m.ref));
    expect(FenceArray.of(f)).toBeUndefined();
    expect([0, 1, 2].map((i) => fenceArrayNext(machine, array.ref, i))).toEqual([...fences.map((m) => m.ref), 0]);
    expect(fenceArrayNext(machine, f.ref, 0)).toBe(0);
    expect([array.ref, f.ref, 0].map((ref) => fenceArrayFirst(machine, ref))).toEqual([f.ref, f.ref, 0]);
    put(array, ...fences);
  });

  it('match a context when all of their members do', () => {
    using machine = testMachine();
    const of = (context: number): number => fenceCreate(machine, { ops: mockOps, context, seqno: 1 });
    const [same, mixed, single] = [
      fenceArrayCreate(machine, [of(7), of(7)], { context: 8 }),
      fenceArrayCreate(machine, [of(7), of(8)], { context: 7 }),
      of(7),
    ];
    expect([same, mixed, single].map((ref) => fenceMatchContext(machine, ref, 7))).toEqual([true, false, true]);
    expect(fenceMatchContext(machine, same, 8)).toBe(false);
    put(...[same, mixed, single].map((ref) => Fence.of(machine, ref)));
  });

  it('warn of members that are containers, and of having none', () => {
    using machine = testMachine();
    const { fences, array } = setUp(machine, 1);
    machine.diag.expect('warn', 'fence-array');
    const { fence: outer } = FenceArray.create(machine, [array]);
    outer.enableSignaling();
    fences[0]!.signalUnowned();
    expect(outer.signaledFlag()).toBe(true);
    machine.diag.expect('warn', 'fence-array');
    const { fence: empty } = FenceArray.create(machine, []);
    expect(empty.isSignaled()).toBe(false);
    empty.enableSignaling();
    expect(empty.signaledFlag()).toBe(false);
    expect(empty.isSignaled()).toBe(true);
    put(outer, empty, ...fences);
  });

  it('wake sleepers and callbacks of any thread by the arena alone', () => {
    using machine = testMachine();
    const { fences, array } = setUp(machine, 2);
    const calls = machine.root('calls', 16);
    const callback = FenceCallback.create(machine, countCallback, calls);
    array.addCallback(callback);
    for (const fence of fences) fence.signalUnowned();
    expect(atomicLoad(machine.mem, calls)).toBe(1);
    expect(array.wait({ timeoutMs: 0 })).toBe(1);
    callback.free();
    put(array, ...fences);
  });

  it('are refused by a reservation object with a WARN', () => {
    using machine = testMachine();
    const { fences, array } = setUp(machine, 1);
    const resv = Resv.create(machine);
    machine.diag.expect('warn', 'resv-container');
    resv.with(() => {
      resv.reserveFences(1);
      resv.addFence(array, ResvUsage.READ);
    });
    expect(array.refCount).toBe(2);
    resv.destroy();
    put(array, ...fences);
  });

  it('consume nothing when memory is short, at whatever allocation', () => {
    using machine = testMachine();
    const fences = Array.from({ length: 3 }, () => mockFence(machine, fenceContextAlloc(machine), 1));
    let failures = 0;
    for (let n = 1; ; n++) {
      machine.faults.failNth(n);
      try {
        FenceArray.create(machine, fences).fence.put();
        break;
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENOMEM', syscall: 'dma_fence_array_alloc' });
        expect(fences.map((f) => f.refCount)).toEqual([1, 1, 1]);
        failures++;
      }
    }
    machine.faults.off();
    expect(failures).toBe(6);
  });
});

/** core §3.16 */
describe('merging', () => {
  it('gives a signalled fence with the latest time stamp when all have ended', () => {
    using machine = testMachine({ clock: 'manual' });
    const fences = [30, 10].map((ns) => {
      const f = mockFence(machine, fenceContextAlloc(machine), 1);
      f.setError('EIO');
      f.signalUnowned(ns);
      return f;
    });
    const merged = mergeFences(machine, fences);
    expect([merged.timestampNs(), merged.status(), merged.context, merged.seqno]).toEqual([30, 1, 0, 0]);
    const nothing = mergeFences(machine, []);
    expect([nothing.timestampNs(), nothing.status()]).toEqual([0, 1]);
    put(merged, nothing, ...fences);
  });

  it('gives the one that has not ended, and passes over null', () => {
    using machine = testMachine();
    const [f, done] = [mockFence(machine, fenceContextAlloc(machine), 1), Fence.stub(machine)];
    expect(fenceUnwrapMerge(machine, [0, done.ref, f.ref])).toBe(f.ref);
    expect(f.refCount).toBe(2);
    put(f, f, done);
  });

  it('keeps the error of a pending part for the array', () => {
    using machine = testMachine();
    const fences = [1, 2].map(() => mockFence(machine, fenceContextAlloc(machine), 1));
    const merged = mergeFences(machine, fences);
    merged.enableSignaling();
    fences[0]!.setError('ENOENT');
    fences[0]!.signalUnowned();
    expect(merged.status()).toBe(0);
    fences[1]!.signalUnowned();
    expect(merged.status()).toBe(-ERRNO.ENOENT);
    put(merged, ...fences);
  });

  it('consumes nothing and gives 0 when memory is short', () => {
    using machine = testMachine();
    const fences = [1, 2].map(() => mockFence(machine, fenceContextAlloc(machine), 1));
    const refs = fences.map((f) => f.ref);
    let failures = 0;
    for (let n = 1; ; n++) {
      machine.faults.failNth(n);
      const merged = fenceUnwrapMerge(machine, refs);
      if (merged !== 0) {
        Fence.of(machine, merged).put();
        break;
      }
      expect(fences.map((f) => f.refCount)).toEqual([1, 1]);
      failures++;
    }
    machine.faults.off();
    expect(failures).toBe(6);
    put(...fences);
  });

  it('leaves nothing behind when an iteration is left early', () => {
    using machine = testMachine();
    const { fences, array } = setUp(machine, 3);
    for (const leaf of fenceUnwrap(machine, array.ref)) {
      expect(leaf.ref).toBe(fences[0]!.ref);
      expect(array.refCount).toBe(2);
      break;
    }
    expect(array.refCount).toBe(1);
    put(array, ...fences);
  });
});

it('merging leaves nothing behind when the driver of a part is not registered in the thread', () => {
  using machine = testMachine();
  const far = defineFenceOps({ ...mockOps, name: 'far', signaled: () => false });
  const fences = [
    mockFence(machine, fenceContextAlloc(machine), 1),
    mockFence(machine, fenceContextAlloc(machine), 1, far),
  ];
  const other = Machine.join(machine.handle, { name: 'other' });
  const refs = fences.map((f) => f.ref);
  expect(() => fenceUnwrapMerge(other, refs)).toThrow(/fence driver 'far' is not registered in thread 'other'/);
  expect(fences.map((f) => f.refCount)).toEqual([1, 1]);
  other.leave();
  put(...fences);
});
