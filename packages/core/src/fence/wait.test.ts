import { Fence, fenceLock, fenceSignalLocked, fenceUnlock, fenceWaitAny } from '@dmabuf-emu/core';
import { mockFence } from '#dist/fence/mock-fence.test-worker.js';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { LIMIT_MS, startJob, untilAsleep } from './fence-worker.fixture.ts';

describe('dma_fence_wait_timeout', () => {
  it('gives the timeout back for a signalled fence, 1 for a timeout of 0', () => {
    using machine = testMachine();
    const f = mockFence(machine);
    f.signalUnowned();
    expect([f.wait(), f.wait({ timeoutMs: 9 }), f.wait({ timeoutMs: 0 })]).toEqual([Number.POSITIVE_INFINITY, 9, 1]);
    f.put();
  });

  it('looks at the fence before the signal, at the signal before a timeout of 0', () => {
    using machine = testMachine();
    const [done, active] = [mockFence(machine), mockFence(machine)];
    done.signalUnowned();
    machine.interrupt(machine.tid);
    expect(done.wait({ interruptible: true, timeoutMs: 5 })).toBe(5);
    expect(() => active.wait({ interruptible: true, timeoutMs: 0 })).toThrow(/ERESTARTSYS, dma_fence_wait_timeout/);
    expect(active.wait({ timeoutMs: 0 })).toBe(0);
    machine.clearSignal();
    done.put();
    active.put();
  });

  it.each([-1, Number.NaN])('refuses a timeout of %d', (timeoutMs) => {
    using machine = testMachine();
    machine.diag.expect('warn', 'fence-timeout');
    const f = mockFence(machine);
    expect(() => f.wait({ timeoutMs })).toThrow(/EINVAL, dma_fence_wait_timeout.*got/);
    f.put();
  });

  it.each<[string, (f: Fence) => void]>([
    ['signals', (f) => f.signalUnowned()],
    ['checks and signals', (f) => f.checkAndSignal()],
    [
      'signals with the lock held',
      (f) => {
        fenceLock(f.machine, f.ref);
        fenceSignalLocked(f.machine, f.ref);
        fenceUnlock(f.machine, f.ref);
      },
    ],
    [
      'signals what has a callback',
      (f) => {
        f.addCallback(() => {});
        f.signalUnowned();
      },
    ],
  ])('ends with what is left when another thread %s', async (_, signal) => {
    using machine = testMachine();
    const f = mockFence(machine);
    const { result, task } = await startJob<number>(
      machine,
      { job: 'wait', fences: [f.ref], timeoutMs: LIMIT_MS },
      { ready: true },
    );
    await untilAsleep(machine, task);
    expect(machine.tasks().find((t) => t.id === task)!.waitingFor).toEqual({ label: 'dma_fence' });
    signal(f);
    const left = await result;
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThanOrEqual(LIMIT_MS);
    f.put();
  });

  it('ends with 0 exactly when the time is over, signalled or not', async () => {
    using machine = testMachine({ clock: 'manual' });
    const f = mockFence(machine);
    const { result, task } = await startJob<number>(
      machine,
      { job: 'wait', fences: [f.ref], timeoutMs: 10 },
      { ready: true },
    );
    await untilAsleep(machine, task);
    machine.clock.advance(9);
    machine.clock.advance(1);
    f.signalUnowned();
    expect(await result).toBe(0);
    f.put();
  });

  it('counts whole milliseconds that are left', async () => {
    using machine = testMachine({ clock: 'manual' });
    const f = mockFence(machine);
    const { result, task } = await startJob<number>(
      machine,
      { job: 'wait', fences: [f.ref], timeoutMs: 10 },
      { ready: true },
    );
    await untilAsleep(machine, task);
    machine.clock.advance(3.5);
    f.signalUnowned();
    expect(await result).toBe(7);
    f.put();
  });

  it.each([
    [true, 'ERESTARTSYS'],
    [false, Number.POSITIVE_INFINITY],
  ])('with interruptible %s a signal makes it %s', async (interruptible, outcome) => {
    using machine = testMachine();
    const f = mockFence(machine);
    const { result, task } = await startJob<unknown>(
      machine,
      { job: 'wait', fences: [f.ref], interruptible },
      { ready: true },
    );
    await untilAsleep(machine, task);
    machine.interrupt(task);
    if (!interruptible) f.signalUnowned();
    expect(await result).toBe(outcome);
    f.put();
  });

  it('wakes every waiter', async () => {
    using machine = testMachine();
    const f = mockFence(machine);
    const names = ['one', 'two', 'three'];
    const workers = await Promise.all(
      names.map((name) => startJob<number>(machine, { job: 'wait', fences: [f.ref] }, { ready: true, name })),
    );
    for (const worker of workers) await untilAsleep(machine, worker.task);
    f.signalUnowned();
    expect(await Promise.all(workers.map((w) => w.result))).toEqual(names.map(() => Number.POSITIVE_INFINITY));
    f.put();
  });

  it('ends, with a report, when the last reference goes under a waiter', async () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'fence-pending');
    const f = mockFence(machine);
    const { result, task } = await startJob<number>(machine, { job: 'wait', fences: [f.ref] }, { ready: true });
    await untilAsleep(machine, task);
    f.put();
    expect(await result).toBe(Number.POSITIVE_INFINITY);
    expect(machine.diag.count('warn')).toBe(1);
  });

  it('that timed out leaves nothing that a later release would report', () => {
    using machine = testMachine();
    const f = mockFence(machine);
    expect(f.wait({ timeoutMs: 1 })).toBe(0);
    f.put();
    expect(machine.diag.count('warn')).toBe(0);
  });

  it('must not be called with a fence locked', () => {
    using machine = testMachine();
    machine.diag.expect('lockdep', 'sleep-in-atomic');
    const [f, g] = [mockFence(machine), mockFence(machine)];
    fenceLock(machine, f.ref);
    expect([g.wait({ timeoutMs: 0 }), machine.diag.count('lockdep')]).toEqual([0, 1]);
    fenceUnlock(machine, f.ref);
    f.put();
    g.put();
  });
});

describe('waitAsync', () => {
  it('resolves when a thread signals, holding a reference meanwhile', async () => {
    using machine = testMachine();
    const [f, go] = [mockFence(machine), mockFence(machine)];
    const waiting = f.waitAsync({ timeoutMs: LIMIT_MS });
    expect(f.refCount).toBe(2);
    const worker = await startJob<number>(
      machine,
      { job: 'wait', fences: [go.ref], timeoutMs: LIMIT_MS },
      { ready: true },
    );
    f.signalUnowned();
    go.signalUnowned();
    expect(await waiting).toBeGreaterThan(0);
    expect(f.refCount).toBe(1);
    await worker.result;
    f.put();
    go.put();
  });

  it('gives 0 when the time is over, and the timeout for a signalled fence', async () => {
    using machine = testMachine();
    const f = mockFence(machine);
    expect([await f.waitAsync({ timeoutMs: 2 }), await f.waitAsync({ timeoutMs: 0 })]).toEqual([0, 0]);
    f.signalUnowned();
    expect(await Promise.all([f.waitAsync(), f.waitAsync({ timeoutMs: 5 }), f.waitAsync({ timeoutMs: 0 })])).toEqual([
      Number.POSITIVE_INFINITY,
      5,
      1,
    ]);
    machine.diag.expect('warn', 'fence-timeout');
    await expect(f.waitAsync({ timeoutMs: -1 })).rejects.toMatchObject({ code: 'EINVAL' });
    f.put();
  });

  it('follows a clock that is driven by hand', async () => {
    using machine = testMachine({ clock: 'manual' });
    const f = mockFence(machine);
    const waiting = f.waitAsync({ timeoutMs: 1000 });
    machine.clock.advance(1000);
    expect(await waiting).toBe(0);
    f.put();
  });
});

describe('dma_fence_wait_any_timeout', () => {
  const some = (machine: Parameters<typeof mockFence>[0], n: number): Fence[] =>
    Array.from({ length: n }, (_, i) => mockFence(machine, 1, i));

  it('polls with a timeout of 0', () => {
    using machine = testMachine();
    const fences = some(machine, 3);
    const refs = fences.map((f) => f.ref);
    expect(fenceWaitAny(machine, refs, { timeoutMs: 0 })).toEqual({ remainingMs: 0, index: -1 });
    fences[2]!.signalUnowned();
    expect(fenceWaitAny(machine, refs, { timeoutMs: 0 })).toEqual({ remainingMs: 1, index: 2 });
    for (const f of fences) f.put();
  });

  it('gives the full timeout for one that is signalled already, and takes its callbacks back', () => {
    using machine = testMachine();
    const fences = some(machine, 3);
    fences[1]!.signalUnowned();
    fences[2]!.signalUnowned();
    expect(
      fenceWaitAny(
        machine,
        fences.map((f) => f.ref),
        { timeoutMs: 50 },
      ),
    ).toEqual({ remainingMs: 50, index: 1 });
    expect(machine.verify().counts['slab:dma_fence_cb']).toBe(0);
    for (const f of fences) f.put();
    expect(machine.diag.count('warn')).toBe(0);
  });

  it('wakes for the first that a thread signals', async () => {
    using machine = testMachine();
    const fences = some(machine, 3);
    const { result, task } = await startJob<number>(
      machine,
      { job: 'wait-any', fences: fences.map((f) => f.ref) },
      { ready: true },
    );
    await untilAsleep(machine, task);
    fences[1]!.signalUnowned();
    expect(await result).toBe(1);
    for (const f of fences) f.put();
  });

  it('ends with 0 when the time is over', async () => {
    using machine = testMachine({ clock: 'manual' });
    const fences = some(machine, 2);
    const job = { job: 'wait-any', fences: fences.map((f) => f.ref), timeoutMs: 10 } as const;
    const { result, task } = await startJob<number>(machine, job, { ready: true });
    await untilAsleep(machine, task);
    machine.clock.advance(10);
    expect(await result).toBe(-1);
    for (const f of fences) f.put();
  });

  it('ends with ERESTARTSYS for a signalled task', async () => {
    using machine = testMachine();
    const fences = some(machine, 2);
    const job = { job: 'wait-any', fences: fences.map((f) => f.ref), interruptible: true } as const;
    const { result, task } = await startJob<string>(machine, job, { ready: true });
    await untilAsleep(machine, task);
    machine.interrupt(task);
    expect(await result).toBe('ERESTARTSYS');
    for (const f of fences) f.put();
  });

  it.each([
    ['no fence', [], 5],
    ['a null fence', [0], 5],
  ])('refuses %s', (_, refs, timeoutMs) => {
    using machine = testMachine();
    machine.diag.expect('warn', 'fence-wait-any');
    expect(() => fenceWaitAny(machine, refs, { timeoutMs })).toThrow(/EINVAL, dma_fence_wait_any_timeout/);
  });

  it('fails with ENOMEM at any of its allocations and leaves nothing behind', () => {
    using machine = testMachine();
    const fences = some(machine, 3);
    for (let n = 1; n <= 3; n++) {
      machine.faults.failNth(n, { site: 'dma_fence_wait_any_timeout' });
      expect(() =>
        fenceWaitAny(
          machine,
          fences.map((f) => f.ref),
          { timeoutMs: 5 },
        ),
      ).toThrow(/ENOMEM/);
    }
    for (const f of fences) f.put();
  });
});
