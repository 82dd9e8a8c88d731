import {
  defineFenceCallback,
  drainCallbacks,
  Fence,
  FenceCallback,
  fenceSignalLocked,
  fenceLock,
  fenceUnlock,
} from '@dmabuf-emu/core';
import { countCallback, mockFence } from '#dist/fence/mock-fence.test-worker.js';
import { KernelBug, type Machine, Mutex, setSyncHook } from '@dmabuf-emu/shm';
import { propertyRuns, testMachine } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LIMIT_MS, startJob, untilAsleep } from './fence-worker.fixture.ts';

/** A driver callback that notes its argument, and what it saw, in `log`. */
function logging(log: unknown[], also: (fence: Fence, callback: FenceCallback) => void = () => {}) {
  return defineFenceCallback({
    name: 'test-log',
    run(fence, callback) {
      log.push(callback.arg);
      also(fence, callback);
    },
  });
}

describe('callbacks', () => {
  it('run in the order they were added, drivers and functions alike', () => {
    using machine = testMachine();
    const log: unknown[] = [];
    const f = mockFence(machine);
    const driver = logging(log);
    const cbs = [1, 2].map((n) => FenceCallback.create(machine, driver, n));
    f.addCallback(cbs[0]!);
    f.addCallback((fence) => log.push(fence.ref === f.ref));
    f.addCallback(cbs[1]!);
    f.signalUnowned();
    expect(log).toEqual([1, true, 2]);
    for (const cb of cbs) cb.free();
    f.put();
  });

  it('are refused when the fence is signalled while they wait for its lock', () => {
    using machine = testMachine();
    const f = mockFence(machine);
    const calls: unknown[] = [];
    const cb = FenceCallback.create(machine, logging(calls), 1);
    setSyncHook((label) => {
      if (label !== 'spin.lock') return;
      setSyncHook(null);
      f.signalUnowned();
    });
    expect(f.addCallback(cb)).toBe(false);
    setSyncHook(null);
    expect([f.signaledFlag(), cb.isQueued, calls]).toEqual([true, false, []]);
    cb.free();
    f.put();
  });

  it('see a signalled, stamped fence, and themselves on none', () => {
    using machine = testMachine({ clock: 'manual' });
    machine.clock.advance(4);
    const seen: unknown[] = [];
    const f = mockFence(machine);
    const driver = logging(seen, (fence, cb) =>
      seen.push(fence.status(), fence.timestampNs(), cb.isQueued, fence.hasOps),
    );
    const cb = FenceCallback.create(machine, driver, 9);
    f.addCallback(cb);
    expect(cb.isQueued).toBe(true);
    f.signalUnowned();
    expect(seen).toEqual([9, 1, 4_000_000, false, false]);
    cb.free();
    f.put();
  });

  it('may free themselves or go on the next fence', () => {
    using machine = testMachine();
    const log: unknown[] = [];
    const [f, next] = [mockFence(machine, 1, 1), mockFence(machine, 1, 2)];
    const driver = logging(log, (fence, cb) => {
      if (fence.ref === f.ref) next.addCallback(cb);
      else cb.free();
    });
    f.addCallback(FenceCallback.create(machine, driver, 1));
    f.signalUnowned();
    expect([log.length, next.isSignaled()]).toEqual([1, false]);
    next.signalUnowned();
    expect(log).toEqual([1, 1]);
    f.put();
    next.put();
  });

  it('may signal another fence, and that another', () => {
    using machine = testMachine();
    const fences = Array.from({ length: 6 }, (_, i) => mockFence(machine, 1, i));
    for (let i = 0; i < 5; i++) fences[i]!.addCallback(() => fences[i + 1]!.signalUnowned());
    fences[0]!.signalUnowned();
    expect(fences.map((f) => f.signaledFlag())).toEqual(fences.map(() => true));
    for (const f of fences) f.put();
  });

  it('must not take the lock of their own fence: a BUG, not a hang', () => {
    using machine = testMachine();
    machine.diag.expect('bug', 'spin-recursion');
    const f = mockFence(machine);
    const cb = FenceCallback.create(machine, countCallback, 0);
    f.addCallback(() => f.removeCallback(cb));
    expect(() => f.signalUnowned()).toThrow(KernelBug);
    cb.free();
    f.put();
  });

  it('that throw keep nobody from running', () => {
    using machine = testMachine();
    const log: number[] = [];
    const f = mockFence(machine);
    for (const n of [1, 2, 3]) {
      f.addCallback(() => {
        log.push(n);
        if (n < 3) throw new Error(`callback ${n}`);
      });
    }
    expect(() => f.signalUnowned()).toThrow('callback 1');
    expect([log, f.status()]).toEqual([[1, 2, 3], 1]);
    f.put();
  });

  it('cannot be on two fences, nor freed while on one', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'fence-cb-queued');
    const [f, g] = [mockFence(machine), mockFence(machine)];
    const cb = FenceCallback.create(machine, countCallback, machine.root('calls', 16));
    f.addCallback(cb);
    expect(() => g.addCallback(cb)).toThrow(/EINVAL, dma_fence_add_callback/);
    expect(() => cb.free()).toThrow(/remove it first/);
    expect(g.removeCallback(cb)).toBe(false);
    expect([f.removeCallback(cb), f.removeCallback(cb)]).toEqual([true, false]);
    cb.free();
    f.put();
    g.put();
  });

  it('can be functions, removed by themselves', () => {
    using machine = testMachine();
    const f = mockFence(machine);
    const log: string[] = [];
    const [a, b] = [() => void log.push('a'), () => void log.push('b')];
    f.addCallback(a);
    f.addCallback(b);
    expect([f.removeCallback(a), f.removeCallback(a)]).toEqual([true, false]);
    f.signalUnowned();
    expect([log, f.removeCallback(b), f.addCallback(a)]).toEqual([['b'], false, false]);
    f.put();
  });

  it('fail to be added with ENOMEM and leave nothing behind', () => {
    using machine = testMachine();
    const f = mockFence(machine);
    machine.faults.failNth(1, { site: 'dma_fence_cb' });
    expect(() => f.addCallback(() => {})).toThrow(/ENOMEM/);
    f.put();
  });

  it('run under the lock that a locked signal was called with', () => {
    using machine = testMachine();
    const f = mockFence(machine);
    let ran = 0;
    f.addCallback(() => void ran++);
    fenceLock(machine, f.ref);
    expect([fenceSignalLocked(machine, f.ref), fenceSignalLocked(machine, f.ref), ran]).toEqual([false, true, 1]);
    fenceUnlock(machine, f.ref);
    f.put();
  });

  it('stay in order under any sequence of adding and removing', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(7)), { maxLength: 40 }), (steps) => {
        using machine = testMachine();
        const log: unknown[] = [];
        const driver = logging(log);
        const cbs = Array.from({ length: 8 }, (_, n) => FenceCallback.create(machine, driver, n));
        const f = mockFence(machine);
        let model: number[] = [];
        for (const [add, n] of steps) {
          if (add && !model.includes(n)) {
            expect(f.addCallback(cbs[n]!)).toBe(true);
            model.push(n);
          } else if (!add) {
            expect(f.removeCallback(cbs[n]!)).toBe(model.includes(n));
            model = model.filter((m) => m !== n);
          }
        }
        f.signalUnowned();
        expect(log).toEqual(model);
        for (const cb of cbs) cb.free();
        f.put();
      }),
      { numRuns: propertyRuns(60) },
    );
  });
});

describe('a fence whose last reference goes with callbacks on it', () => {
  it('is reported and ends with EDEADLK', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'fence-pending');
    const f = mockFence(machine, 0x1f, 0xabc);
    const status: number[] = [];
    f.addCallback((fence) => void status.push(fence.status()));
    f.put();
    expect(status).toEqual([-35]);
    expect(machine.diag.records().at(-1)!.text).toBe('Fence mock:mock:1f:abc released with pending signals!');
  });

  it('lives until a function on another thread has seen it', async () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'fence-pending');
    const f = mockFence(machine, 1, 5);
    const gate = mockFence(machine, 1, 6);
    const other = await startJob<number[]>(
      machine,
      { job: 'closures', fences: [f.ref, gate.ref] },
      { ready: true, name: 'other' },
    );
    await untilAsleep(machine, other.task);
    f.put();
    gate.signalUnowned();
    expect(await other.result).toEqual([5, 6]);
    gate.put();
  });
});

describe('functions of another thread', () => {
  const signalAll = async (machine: Machine, inEventLoop: boolean): Promise<number[]> => {
    const fences = [1, 2, 3].map((n) => mockFence(machine, 1, n));
    const job = { job: 'closures', fences: fences.map((f) => f.ref), timeoutMs: inEventLoop ? 0 : 1 } as const;
    const worker = await startJob<number[]>(machine, job, { ready: true });
    if (!inEventLoop) await untilAsleep(machine, worker.task);
    for (const f of fences) f.signalUnowned();
    const order = await worker.result;
    for (const f of fences) f.put();
    return order;
  };

  it('run there when it next enters the kernel, in order', async () => {
    using machine = testMachine();
    expect(await signalAll(machine, false)).toEqual([1, 2, 3]);
  });

  it('run there in the event loop', async () => {
    using machine = testMachine();
    expect(await signalAll(machine, true)).toEqual([1, 2, 3]);
  });

  it('wait until the thread has dropped its locks', async () => {
    using machine = testMachine();
    const [f, go] = [mockFence(machine, 1, 1), mockFence(machine, 1, 2)];
    let ran = 0;
    f.addCallback(() => void ran++);
    const lock = new Mutex(machine, machine.root('lock', 16), 'test.lock');
    const signaller = await startJob(machine, { job: 'signal-sleeper', fences: [f.ref, go.ref], other: machine.tid });
    const seen = lock.with(() => {
      go.wait({ timeoutMs: LIMIT_MS });
      drainCallbacks(machine);
      return [f.isSignaled(), ran];
    });
    expect([seen, ran]).toEqual([[true, 0], 1]);
    await signaller.result;
    f.put();
    go.put();
  });

  it('can be cancelled after the fence was signalled, before they ran', async () => {
    using machine = testMachine();
    const [f, go] = [mockFence(machine, 1, 1), mockFence(machine, 1, 2)];
    let ran = 0;
    const fn = (): void => void ran++;
    f.addCallback(fn);
    const signaller = await startJob(machine, { job: 'signal-sleeper', fences: [f.ref, go.ref], other: machine.tid });
    go.wait({ timeoutMs: LIMIT_MS });
    expect(f.removeCallback(fn)).toBe(true);
    drainCallbacks(machine);
    expect(ran).toBe(0);
    await signaller.result;
    f.put();
    go.put();
  });

  it('are forgotten when their thread leaves', async () => {
    using machine = testMachine();
    const f = mockFence(machine);
    const { result } = await startJob(machine, { job: 'closure-and-leave', fences: [f.ref, f.ref] });
    await result;
    expect(machine.verify().counts['slab:dma_fence_cb']).toBe(0);
    f.signalUnowned();
    f.put();
  });

  it('keep nothing alive once they ran', async () => {
    using machine = testMachine();
    const f = mockFence(machine);
    let ran = 0;
    f.addCallback(() => void ran++);
    await new Promise(setImmediate);
    f.signalUnowned();
    await new Promise(setImmediate);
    expect(ran).toBe(1);
    f.put();
  });
});
