import {
  Completion,
  type Machine,
  WwAcquireCtx,
  type WwAlgorithm,
  type WwClass,
  wwClass,
  WwMutex,
} from '@dmabuf-emu/shm';
import { startTestWorker, testMachine, type TestWorker } from '@dmabuf-emu/shm/testing';
import { availableParallelism } from 'node:os';
import { describe, expect, it } from 'vitest';
import type { PairResult, WwSuiteJob } from './ww-suite.test-worker.ts';

const url = new URL(import.meta.resolve('#dist/sync/ww-suite.test-worker.js'));
const LIMIT_MS = 10_000;
/** How long the holder looks whether another thread gets in: upstream's HZ / 16. */
const HOLD_MS = 60;
/** Upstream stresses for two seconds; nothing depends on it but how much happens. */
const STRESS_MS = 400;
/** Upstream takes 2046: here a task can hold 32 locks at a time. */
const STRESS_ALL_LOCKS = 30;
const CPUS = Math.max(2, Math.min(4, availableParallelism()));

function lockAt(machine: Machine, name: string): WwMutex {
  return new WwMutex(machine, machine.root(name, 16), 'ww.suite');
}

function completion(machine: Machine, name: string): Completion {
  return new Completion(machine, machine.root(name, 16), name);
}

/** Starts a thread and waits until it is there; `go` of the job says when it goes on. */
async function start<R>(
  machine: Machine,
  job: Omit<WwSuiteJob, 'ready' | 'go'> & { go?: number },
  name: string,
): Promise<TestWorker<R> & { go: Completion }> {
  const [ready, go] = [completion(machine, `ready-${name}`), completion(machine, `go-${name}`)];
  const worker = startTestWorker<R>(url, machine, { go: go.at, ...job, ready: ready.at }, name);
  expect(await ready.waitAsync(LIMIT_MS)).toBe(true);
  return { ...worker, go };
}

/** Whether a thread gets the lock while this one holds it. */
async function testMutex(cls: WwClass, { spin, trylock, ctx: withCtx }: Record<'spin' | 'trylock' | 'ctx', boolean>) {
  using machine = testMachine();
  const lock = lockAt(machine, 'lock');
  const done = completion(machine, 'done');
  const ctx = withCtx ? WwAcquireCtx.init(machine, cls) : undefined;
  const job = { job: 'mutex', algorithm: cls.algorithm, locks: [lock.at], done: done.at, trylock } as const;
  const worker = await start(machine, job, 'locker');
  lock.lock(ctx);
  worker.go.complete();
  if (spin) {
    const end = machine.clock.nowMs() + HOLD_MS;
    while (machine.clock.nowMs() < end && !done.done);
  } else done.wait({ timeoutMs: HOLD_MS });
  const early = done.done;
  lock.unlock();
  ctx?.fini();
  await worker.result;
  return early;
}

/** Threads in a ring: each holds a lock and wants that of the next one. */
async function ring(
  machine: Machine,
  algorithm: WwAlgorithm,
  count: number,
  options: { trylock?: boolean; resolve: boolean },
): Promise<PairResult[]> {
  const locks = Array.from({ length: count }, (_, i) => lockAt(machine, `lock-${i}`).at);
  const workers = await Promise.all(
    locks.map((own, i) =>
      start<PairResult>(
        machine,
        { job: 'pair', algorithm, locks: [own, locks[(i + 1) % count]!], ...options },
        `thread-${i}`,
      ),
    ),
  );
  for (const { go } of workers) go.complete();
  const results = await Promise.all(workers.map((w) => w.result));
  expect(results.map((r) => r.visible)).not.toContain(false);
  for (const at of locks) expect(new WwMutex(machine, at, 'ww.suite').isLocked).toBe(false);
  return results;
}

/** Transactions that all got through, of all threads. */
async function stress(algorithm: WwAlgorithm, lockCount: number, jobs: readonly WwSuiteJob['job'][], threads: number) {
  using machine = testMachine();
  const locks = Array.from({ length: lockCount }, (_, i) => lockAt(machine, `lock-${i}`).at);
  const workers = await Promise.all(
    Array.from({ length: threads }, (_, i) =>
      start<number>(machine, { job: jobs[i % jobs.length]!, algorithm, locks, durationMs: STRESS_MS }, `stress-${i}`),
    ),
  );
  for (const { go } of workers) go.complete();
  const rounds = await Promise.all(workers.map((w) => w.result));
  for (const at of locks) expect(new WwMutex(machine, at, 'ww.suite').isLocked).toBe(false);
  return rounds.reduce((sum, n) => sum + n, 0);
}

/** kernel/locking/test-ww_mutex.c, core §7.5. */
describe('test-ww_mutex', () => {
  describe.each(['wound-wait', 'wait-die'] as const)('%s', (algorithm) => {
    const cls = wwClass(`suite-${algorithm}`, algorithm);

    it('test_mutex', async () => {
      for (let flags = 0; flags < 8; flags++) {
        const early = await testMutex(cls, {
          spin: (flags & 1) !== 0,
          trylock: (flags & 2) !== 0,
          ctx: (flags & 4) !== 0,
        });
        expect(early).toBe(false);
      }
    });

    it('test_aa', () => {
      for (const trylock of [false, true]) {
        using machine = testMachine();
        const lock = lockAt(machine, 'lock');
        const ctx = WwAcquireCtx.init(machine, cls);
        if (trylock) expect(lock.tryLock(ctx)).toBe(true);
        else lock.lock(ctx);
        expect([lock.tryLock(), lock.tryLock(ctx)]).toEqual([false, false]);
        expect(() => lock.lock(ctx)).toThrow(/EALREADY/);
        expect(ctx.acquired).toBe(1);
        lock.unlock();
        expect(lock.isLocked).toBe(false);
        ctx.fini();
      }
    });

    it('test_abba', async () => {
      for (const [trylock, resolve] of [
        [false, false],
        [true, false],
        [false, true],
        [true, true],
      ] as const) {
        using machine = testMachine();
        const errors = (await ring(machine, algorithm, 2, { trylock, resolve })).map((r) => r.error);
        if (resolve) expect(errors).toEqual([undefined, undefined]);
        else {
          expect(errors).toContain('EDEADLK');
          expect(['EDEADLK', undefined]).toEqual(expect.arrayContaining(errors));
        }
      }
    });

    it('test_cycle', async () => {
      for (let count = 2; count <= CPUS + 1; count++) {
        using machine = testMachine();
        const results = await ring(machine, algorithm, count, { resolve: true });
        expect(results.map((r) => r.error)).toEqual(Array.from({ length: count }));
      }
    });

    it('stress_inorder_work', async () => {
      expect(await stress(algorithm, 16, ['inorder'], 2 * CPUS)).toBeGreaterThan(0);
    });

    it('stress_reorder_work', async () => {
      expect(await stress(algorithm, 16, ['reorder'], 2 * CPUS)).toBeGreaterThan(0);
    });

    it('stress_one_work', async () => {
      expect(await stress(algorithm, STRESS_ALL_LOCKS, ['inorder', 'reorder', 'one'], 3 * CPUS)).toBeGreaterThan(0);
    });
  });
});
