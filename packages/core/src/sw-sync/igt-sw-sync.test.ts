import { FdTable } from '@dmabuf-emu/core';
import {
  ACTIVE,
  close,
  count,
  mergeAll,
  SIGNALED,
  statusOf,
  swFence,
  swInc,
  swOpen,
  syncMerge,
  syncWait,
} from '#dist/sw-sync/sync-user.test-worker.js';
import { atomicAdd, atomicLoad, Completion, ERRNO, type Machine, Random } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { exported, recorder } from '../dma-buf/recorder.fixture.ts';
import { startMany, startSwSyncJob } from './sw-sync-worker.fixture.ts';

/*
 * IGT's sw_sync (core §7.11). The tests with threads run a 64th of upstream's 4096 rounds, those that go on for a second a
 * fixed number of them.
 */

const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });
const LIMIT_MS = 20_000;
const ROUNDS = 4096 / 64;
const THREADS = 4;

function end(machine: Machine): void {
  FdTable.exit(machine);
}

describe('IGT sw_sync', () => {
  it('alloc_timeline', () => {
    using machine = testMachine();
    close(machine, swOpen(machine));
    expect(FdTable.current(machine).size).toBe(0);
  });

  it('alloc_fence', () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const fence = swFence(machine, timeline, 0);
    expect(syncWait(machine, fence, 0)).toBe(true);
    close(machine, fence, timeline);
  });

  it('alloc_fence_invalid_timeline', () => {
    using machine = testMachine();
    expect(() => swFence(machine, -1, 0)).toThrow(kernelError('EBADF'));
  });

  it('timeline_closed', () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const fence = swFence(machine, timeline, 1);
    close(machine, timeline);
    expect(syncWait(machine, fence, 0)).toBe(true);
    expect(statusOf(machine, fence)).toBe(-ERRNO.ENOENT);
    close(machine, fence);
  });

  it('timeline_closed_signaled', () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const fence = swFence(machine, timeline, 1);
    swInc(machine, timeline, 1);
    close(machine, timeline);
    expect(syncWait(machine, fence, 0)).toBe(true);
    expect(statusOf(machine, fence)).toBe(1);
    close(machine, fence);
  });

  it('alloc_merge_fence', () => {
    using machine = testMachine();
    const timelines = [swOpen(machine), swOpen(machine)] as const;
    const [a, b] = [swFence(machine, timelines[0], 1), swFence(machine, timelines[1], 1)];
    const merged = syncMerge(machine, a, b);
    expect(merged).toBeGreaterThan(b);
    close(machine, a, b, merged, ...timelines);
  });

  it('sync_busy', () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const fence = swFence(machine, timeline, 5);
    const steps = [1, 4, 5].map((by) => {
      const before = syncWait(machine, fence, 0);
      swInc(machine, timeline, by);
      return [before, syncWait(machine, fence, 0)];
    });
    expect(steps).toEqual([
      [false, false],
      [false, true],
      [true, true],
    ]);
    let seqno = 10;
    for (const prime of [
      2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
    ]) {
      seqno += prime;
      const next = swFence(machine, timeline, seqno);
      expect(syncWait(machine, next, 0)).toBe(false);
      swInc(machine, timeline, prime);
      expect(syncWait(machine, next, 0)).toBe(true);
      close(machine, next);
    }
    end(machine);
  });

  it('sync_busy_fork', async () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const fence = swFence(machine, timeline, 1);
    expect(syncWait(machine, fence, 0)).toBe(false);
    const { result } = await startSwSyncJob(machine, { job: 'inc', timeline });
    expect(syncWait(machine, fence, LIMIT_MS)).toBe(true);
    await result;
    end(machine);
  });

  it('sync_busy_fork_unixsocket', async () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const fence = swFence(machine, timeline, 1);
    expect(syncWait(machine, fence, 0)).toBe(false);
    const sent = FdTable.current(machine).get(timeline);
    const { result } = await startSwSyncJob(machine, { job: 'receive-and-inc', timeline: sent.ref });
    expect(syncWait(machine, fence, LIMIT_MS)).toBe(true);
    await result;
    expect(sent.count).toBe(1);
    end(machine);
  });

  it('sync_merge_invalid', () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const fence = swFence(machine, timeline, 1);
    const device = exported(machine, recorder()).fd();
    for (const bad of [-1, device, timeline]) {
      expect(() => syncMerge(machine, fence, bad)).toThrow(kernelError('ENOENT'));
    }
    end(machine);
  });

  it('sync_merge', () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const fences = [1, 2, 3].map((value) => swFence(machine, timeline, value)) as [number, number, number];
    const merged = syncMerge(machine, fences[2], syncMerge(machine, fences[0], fences[1]));
    for (const fd of [...fences, merged]) expect(count(machine, fd, ACTIVE)).toBe(1);
    for (let n = 0; n < 3; n++) {
      swInc(machine, timeline, 1);
      expect(count(machine, fences[n]!, SIGNALED)).toBe(1);
      expect(count(machine, merged, ACTIVE)).toBe(n < 2 ? 1 : 0);
    }
    expect(count(machine, merged, SIGNALED)).toBe(1);
    end(machine);
  });

  it('sync_merge_same', () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const fence = swFence(machine, timeline, 1);
    const merged = syncMerge(machine, fence, fence);
    expect(count(machine, merged, SIGNALED)).toBe(0);
    swInc(machine, timeline, 1);
    expect(count(machine, merged, SIGNALED)).toBe(1);
    end(machine);
  });

  it('sync_multi_timeline_wait', () => {
    using machine = testMachine();
    const timelines = [0, 1, 2].map(() => swOpen(machine));
    const merged = mergeAll(
      machine,
      timelines.map((timeline) => swFence(machine, timeline, 5)),
    );
    expect(count(machine, merged, ACTIVE)).toBe(3);
    for (let n = 0; n < 3; n++) {
      expect(syncWait(machine, merged, 0)).toBe(false);
      swInc(machine, timelines[n]!, 5);
      expect([count(machine, merged, ACTIVE), count(machine, merged, SIGNALED)]).toEqual([2 - n, n + 1]);
    }
    expect(syncWait(machine, merged, 100)).toBe(true);
    end(machine);
  });

  it('sync_multi_consumer', { timeout: 60_000 }, async () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const [counter, post] = [machine.root('counter', 16), machine.root('post', 16)];
    const workers = await startMany(machine, THREADS, (id) => ({
      job: 'multi-consumer',
      timeline,
      id,
      counter,
      post,
      rounds: ROUNDS,
      threads: THREADS,
    }));
    const semaphore = new Completion(machine, post, 'semaphore');
    for (let n = 0; n < ROUNDS * THREADS; n++) {
      expect(semaphore.wait({ timeoutMs: LIMIT_MS })).toBe(true);
      atomicAdd(machine.mem, counter, 1);
      swInc(machine, timeline, 1);
    }
    for (const { result } of workers) await result;
    expect(atomicLoad(machine.mem, counter)).toBe(ROUNDS * THREADS);
    end(machine);
  });

  it('sync_multi_consumer_producer', { timeout: 60_000 }, async () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const counter = machine.root('counter', 16);
    const workers = await startMany(machine, THREADS, (id) => ({
      job: 'multi-consumer-producer',
      timeline,
      id,
      counter,
      rounds: ROUNDS,
      threads: THREADS,
    }));
    for (const { result } of workers) await result;
    expect(atomicLoad(machine.mem, counter)).toBe(ROUNDS * THREADS);
    end(machine);
  });

  it('sync_multi_producer_single_consumer', { timeout: 60_000 }, async () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const producers = Array.from({ length: 5 }, () => swOpen(machine));
    const counter = machine.root('counter', 16);
    const workers = await startMany<number>(machine, 5, (id) => ({
      job: 'endless-producer',
      timeline,
      other: producers[id]!,
      id,
      counter,
    }));
    for (let seqno = 1; seqno <= ROUNDS; seqno++) {
      const merged = mergeAll(
        machine,
        producers.map((producer) => swFence(machine, producer, seqno)),
      );
      expect(syncWait(machine, merged, LIMIT_MS)).toBe(true);
      expect(atomicLoad(machine.mem, counter)).toBe(5 * seqno);
      close(machine, merged);
      if (seqno < ROUNDS) swInc(machine, timeline, 1);
    }
    close(machine, timeline);
    for (const { result } of workers) expect(await result).toBeGreaterThanOrEqual(ROUNDS);
    end(machine);
  });

  it('sync_expired_merge', () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    swInc(machine, timeline, 100);
    const expired = swFence(machine, timeline, 1);
    expect(syncWait(machine, expired, 0)).toBe(true);
    for (let n = 0; n < 1000; n++) {
      const merged = syncMerge(machine, expired, expired);
      expect(syncWait(machine, merged, -1)).toBe(true);
      close(machine, merged);
    }
    end(machine);
  });

  it('sync_random_merge', () => {
    using machine = testMachine();
    const random = new Random(11);
    const timelines = Array.from({ length: 32 }, () => swOpen(machine));
    const latest = new Map<number, number>();
    let merged = swFence(machine, timelines[0]!, 0);
    for (let n = 0; n < 1024; n++) {
      const [timeline, value] = [random.below(32), 1 + random.below(0x7ffffffe)];
      merged = mergeAll(machine, [merged, swFence(machine, timelines[timeline]!, value)]);
      latest.set(timeline, Math.max(latest.get(timeline) ?? 0, value));
    }
    for (const [timeline, value] of latest) {
      expect(syncWait(machine, merged, 0)).toBe(false);
      swInc(machine, timelines[timeline]!, value);
    }
    expect(syncWait(machine, merged, 1)).toBe(true);
    end(machine);
  });
});
