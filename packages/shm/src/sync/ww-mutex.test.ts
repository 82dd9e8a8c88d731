import { Completion, Machine, setSyncHook, WwAcquireCtx, wwClass, WwMutex } from '@dmabuf-emu/shm';
import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { wound } from '#dist/sync/ww-waiters.js';

const worker = new URL(import.meta.resolve('#dist/sync/locks.test-worker.js'));
const CLASS = wwClass('test-class', 'wait-die');
const WOUND_WAIT = wwClass('test-wound-wait', 'wound-wait');

function lockOf(machine: Machine, name: string): WwMutex {
  return new WwMutex(machine, machine.root(name, 16), 'test.ww');
}

describe('WwMutex', () => {
  it('is a plain mutex without a context', () => {
    using machine = testMachine();
    const lock = lockOf(machine, 'a');
    lock.with(() => expect([lock.isLocked, lock.heldByMe, lock.tryLock()]).toEqual([true, true, false]));
    expect(lock.isLocked).toBe(false);
  });

  it('answers EALREADY for a lock of the same context and counts what the context holds', () => {
    using machine = testMachine();
    const [a, b] = [lockOf(machine, 'a'), lockOf(machine, 'b')];
    const ctx = WwAcquireCtx.init(machine, CLASS);
    a.lock(ctx);
    b.lock(ctx);
    expect(() => a.lock(ctx)).toThrow(/EALREADY/);
    expect(ctx.acquired).toBe(2);
    expect(a.tryLock(ctx)).toBe(false);
    a.unlock();
    b.unlock();
    expect(ctx.acquired).toBe(0);
    ctx.fini();
  });

  it('draws rising tickets', () => {
    using machine = testMachine();
    const [first, second] = [WwAcquireCtx.init(machine, CLASS), WwAcquireCtx.init(machine, CLASS)];
    expect([first.stamp, second.stamp]).toEqual([1, 2]);
    first.fini();
    second.fini();
  });

  it('reports misuse of the context', () => {
    using machine = testMachine();
    for (const code of ['ww-fini-held', 'ww-done-twice', 'ww-after-done', 'ww-slow']) machine.diag.expect('warn', code);
    const lock = lockOf(machine, 'a');
    const ctx = WwAcquireCtx.init(machine, CLASS);
    ctx.done();
    ctx.done();
    lock.lockSlow(ctx);
    expect(machine.diag.records().map((r) => r.code)).toEqual(['ww-done-twice', 'ww-after-done', 'ww-slow']);
    lock.unlock();
    ctx.fini();
  });

  it('injects fake deadlocks on a second lock, never on the first', () => {
    using machine = testMachine();
    machine.faults.wwDeadlock = true;
    const [a, b] = [lockOf(machine, 'a'), lockOf(machine, 'b')];
    let injected = 0;
    for (let round = 0; round < 64; round++) {
      const ctx = WwAcquireCtx.init(machine, CLASS);
      a.lock(ctx);
      try {
        b.lock(ctx);
        b.unlock();
        a.unlock();
      } catch (error) {
        expect(error).toMatchObject({ code: 'EDEADLK' });
        expect(b.heldByMe).toBe(false);
        injected++;
        a.unlock();
        b.lockSlow(ctx);
        b.unlock();
      }
      ctx.fini();
    }
    expect(injected).toBeGreaterThan(0);
  });

  it.each(['wait-die', 'wound-wait'] as const)(
    'lets %s transactions of four threads over eight locks all finish',
    async (algorithm) => {
      using machine = testMachine({ lockdep: false });
      const at = machine.root('locks', 8 * 16);
      const rounds = 1500;
      const jobs = [1, 2, 3, 4].map((seed) =>
        startTestWorker<number>(worker, machine, { job: 'ww', at, rounds, seed, algorithm }, `w${seed}`),
      );
      await Promise.all(jobs.map((j) => j.result));
      let sum = 0;
      for (let i = 0; i < 8; i++) {
        sum += machine.mem.i32[at + i * 16 + 8]!;
        expect(machine.mem.i32[at + i * 16]).toBe(0);
      }
      expect(sum).toBe(4 * rounds * 3);
    },
  );

  it('notices that it is wounded just before it sleeps', () => {
    using machine = testMachine();
    const other = Machine.join(machine.handle);
    const [mine, contended] = ['mine', 'contended'].map((name) => lockOf(machine, name)) as [WwMutex, WwMutex];
    const old = WwAcquireCtx.init(other, WOUND_WAIT);
    const young = WwAcquireCtx.init(machine, WOUND_WAIT);
    const theirs = lockOf(other, 'contended');
    theirs.lock(old);
    mine.lock(young);
    const former = setSyncHook((label) => {
      // The old transaction comes to the lock that the young one holds, and holds the wait lock of that one only.
      if (label === 'ww_mutex.park') wound(other, old.p, young.p, machine.tid);
      if (label === 'test.ww') throw new Error('it sleeps, and nobody will wake it');
    });
    try {
      expect(() => contended.lock(young)).toThrow(/EDEADLK/);
    } finally {
      setSyncHook(former);
    }
    mine.unlock();
    theirs.unlock();
    contended.lockSlow(young);
    contended.unlock();
    young.fini();
    old.fini();
    other.leave();
  });

  it('gives EOWNERDEAD for a lock whose owner died', async () => {
    using machine = testMachine();
    const lock = lockOf(machine, 'a');
    const ready = new Completion(machine, machine.root('ready', 16), 'ready');
    const holder = startTestWorker(worker, machine, { job: 'ww-hold', at: lock.at, ready: ready.at }, 'holder');
    expect(await ready.waitAsync(10_000)).toBe(true);
    await holder.worker.terminate();
    expect(machine.reap(machine.tasks().find((t) => t.name === 'holder')!.id).lostLocks).toEqual(['test.ww']);
    expect(() => lock.lock()).toThrow(/EOWNERDEAD/);
    const ctx = WwAcquireCtx.init(machine, CLASS);
    expect(() => lock.lock(ctx)).toThrow(/EOWNERDEAD/);
    expect(lock.tryLock()).toBe(false);
    ctx.fini();
  });
});
