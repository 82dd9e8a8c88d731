import { Completion, Mutex, RwSemaphore } from '@dmabuf-emu/shm';
import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { TaskStruct, taskAt } from '#dist/machine/header.js';

const worker = new URL(import.meta.resolve('#dist/sync/locks.test-worker.js'));

describe('Mutex', () => {
  it('excludes threads from each other', async () => {
    using machine = testMachine();
    const at = machine.root('m', 16);
    const jobs = [1, 2, 3].map((n) =>
      startTestWorker<number>(worker, machine, { job: 'count', at, rounds: 5000 }, `w${n}`),
    );
    await Promise.all(jobs.map((j) => j.result));
    expect(machine.mem.i32[at + 8]).toBe(15_000);
    expect(machine.mem.i32[at]).toBe(0);
  });

  it('unlocks when the section throws, and knows its holder', () => {
    using machine = testMachine();
    const lock = new Mutex(machine, machine.root('m', 16), 'test.mutex');
    expect(() =>
      lock.with(() => {
        expect([lock.heldByMe, lock.isLocked, lock.tryLock()]).toEqual([true, true, false]);
        throw new Error('x');
      }),
    ).toThrow('x');
    expect([lock.heldByMe, lock.isLocked]).toEqual([false, false]);
  });

  it('reports recursion, foreign unlocks and missing locks instead of hanging', () => {
    using machine = testMachine();
    for (const code of ['recursive-lock', 'unlock-not-owner', 'not-held']) machine.diag.expect('lockdep', code);
    const lock = new Mutex(machine, machine.root('m', 16), 'test.mutex');
    lock.lock();
    expect(() => lock.lock()).toThrow(/EDEADLK/);
    lock.unlock();
    lock.unlock();
    expect(lock.assertHeld('dma_buf_pin')).toBe(false);
    expect(machine.diag.records().map((r) => r.code)).toEqual(['recursive-lock', 'unlock-not-owner', 'not-held']);
  });

  it('ends an interruptible wait with EINTR when the task is signalled', async () => {
    using machine = testMachine();
    const at = machine.root('m', 16);
    const ready = new Completion(machine, machine.root('ready', 16), 'ready');
    const lock = new Mutex(machine, at, 'test.mutex');
    lock.lock();
    const { result } = startTestWorker<string>(worker, machine, { job: 'wait-interruptible', at, ready: ready.at });
    await ready.waitAsync(10_000);
    const task = machine.tasks().find((t) => t.name === 'worker')!.id;
    machine.interrupt(task);
    expect(await result).toBe('EINTR');
    lock.unlock();
  });

  it('passes a wake-up on when the one who gets it leaves for a signal', async () => {
    using machine = testMachine();
    const at = machine.root('m', 16);
    const lock = new Mutex(machine, at, 'test.mutex');
    lock.lock();
    const waiters: { result: Promise<string>; task: number }[] = [];
    for (const name of ['first', 'second']) {
      const { result } = startTestWorker<string>(worker, machine, { job: 'wait-interruptible', at }, name);
      const asleep = (): number => machine.tasks().find((t) => t.name === name && t.state === 'sleeping')?.id ?? 0;
      for (const end = performance.now() + 10_000; asleep() === 0 && performance.now() < end;)
        await new Promise(setImmediate);
      waiters.push({ result, task: asleep() });
    }
    // A signal that arrives after the unlock has picked its sleeper, so nothing else wakes anybody.
    TaskStruct.signal.store(machine.mem, taskAt(waiters[0]!.task), 1);
    lock.unlock();
    expect(await Promise.all(waiters.map((w) => w.result))).toEqual(['EINTR', 'locked']);
  });

  it('can be awaited by an event loop', async () => {
    using machine = testMachine();
    const at = machine.root('m', 16);
    const job = startTestWorker<number>(worker, machine, { job: 'count', at, rounds: 3000 });
    const lock = new Mutex(machine, at, 'test.mutex');
    for (let i = 0; i < 200; i++) {
      await lock.lockAsync();
      machine.mem.i32[at + 8]!++;
      lock.unlock();
    }
    await job.result;
    expect(machine.mem.i32[at + 8]).toBe(3200);
  });
});

describe('a task that dies holding a lock', () => {
  it('leaves a clear error for waiters and newcomers, and damage for verify', async () => {
    using machine = testMachine();
    const at = machine.root('m', 16);
    const ready = new Completion(machine, machine.root('ready', 16), 'ready');
    const holder = startTestWorker(worker, machine, { job: 'hold', at, ready: ready.at }, 'holder');
    expect(await ready.waitAsync(10_000)).toBe(true);
    const waiter = startTestWorker<string>(worker, machine, { job: 'wait-lock', at, ready: ready.at }, 'waiter');
    expect(await ready.waitAsync(10_000)).toBe(true);
    await holder.worker.terminate();
    const dead = machine.tasks().find((t) => t.name === 'holder')!;
    expect(dead.holds.map((l) => l.lockClass)).toEqual(['test.mutex']);
    expect(machine.reap(dead.id)).toEqual({ task: dead.id, name: 'holder', lostLocks: ['test.mutex'] });
    expect(await waiter.result).toBe('EOWNERDEAD');
    expect(() => new Mutex(machine, at, 'test.mutex').lock()).toThrow(/EOWNERDEAD.*held by task \d+ \(holder\)/);
    const report = machine.verify();
    expect(report.ok).toBe(true);
    expect(report.damage).toContainEqual(expect.stringContaining('test.mutex is held by task'));
    expect(machine.tainted).toBe(true);
  });

  it('may die reading: writers get the error too', async () => {
    using machine = testMachine();
    const at = machine.root('s', 16);
    const ready = new Completion(machine, machine.root('ready', 16), 'ready');
    const holder = startTestWorker(worker, machine, { job: 'spin-hold', at, ready: ready.at }, 'reader');
    expect(await ready.waitAsync(10_000)).toBe(true);
    await holder.worker.terminate();
    machine.reap(machine.tasks().find((t) => t.name === 'reader')!.id);
    expect(() => new RwSemaphore(machine, at, 'test.rwsem').downWrite()).toThrow(/EOWNERDEAD/);
  });
});

describe('RwSemaphore', () => {
  it('shows readers whole writes only', async () => {
    using machine = testMachine();
    const at = machine.root('s', 16);
    const jobs = [1, 2, 3].map((seed) =>
      startTestWorker<number>(worker, machine, { job: 'rw', at, rounds: 4000, seed }),
    );
    await Promise.all(jobs.map((j) => j.result));
    expect(machine.mem.i32[at + 8]).toBe(machine.mem.i32[at + 9]);
    expect(machine.mem.i32[at]).toBe(0);
  });

  it('keeps writers out while read, and tells who must hold it', () => {
    using machine = testMachine();
    machine.diag.expect('lockdep', 'not-held');
    const lock = new RwSemaphore(machine, machine.root('s', 16), 'test.rwsem');
    lock.read(() => expect(lock.tryDownWrite()).toBe(false));
    lock.write(() => expect(lock.assertHeldWrite('move')).toBe(true));
    expect(lock.assertHeldWrite('move')).toBe(false);
  });
});
