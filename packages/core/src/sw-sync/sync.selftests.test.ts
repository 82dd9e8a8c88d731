import { FdTable } from '@dmabuf-emu/core';
import {
  ACTIVE,
  close,
  count,
  mergeAll,
  SIGNALED,
  size,
  swFence,
  swInc,
  swOpen,
  syncMerge,
  syncWait,
} from '#dist/sw-sync/sync-user.test-worker.js';
import { atomicLoad, type Machine, Random } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { startMany } from './sw-sync-worker.fixture.ts';

/*
 * tools/testing/selftests/sync (core §7.6). The stress tests run a part of the rounds of upstream.
 */

const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });

function end(machine: Machine): void {
  FdTable.exit(machine);
}

describe('selftests/sync', () => {
  it('alloc_timeline', () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    expect(timeline).toBeGreaterThanOrEqual(0);
    close(machine, timeline);
  });

  it('alloc_fence', () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const fence = swFence(machine, timeline, 1);
    expect(fence).toBeGreaterThan(timeline);
    close(machine, fence, timeline);
  });

  it('alloc_fence_negative', () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    expect(() => swFence(machine, -1, 1)).toThrow(kernelError('EBADF'));
    close(machine, timeline);
  });

  it('fence_one_timeline_wait', () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const fence = swFence(machine, timeline, 5);
    expect(syncWait(machine, fence, 0)).toBe(false);
    swInc(machine, timeline, 1);
    expect(syncWait(machine, fence, 0)).toBe(false);
    swInc(machine, timeline, 4);
    expect(syncWait(machine, fence, 0)).toBe(true);
    swInc(machine, timeline, 10);
    expect(syncWait(machine, fence, 0)).toBe(true);
    end(machine);
  });

  it('fence_one_timeline_merge', () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const [a, b, c] = [1, 2, 3].map((value) => swFence(machine, timeline, value)) as [number, number, number];
    const d = syncMerge(machine, c, syncMerge(machine, b, a));
    const counts = (status: number) => [a, b, c, d].map((fd) => count(machine, fd, status));
    expect(counts(ACTIVE)).toEqual([1, 1, 1, 1]);
    swInc(machine, timeline, 1);
    expect([counts(SIGNALED), counts(ACTIVE)[3]]).toEqual([[1, 0, 0, 0], 1]);
    swInc(machine, timeline, 1);
    expect([counts(SIGNALED), counts(ACTIVE)[3]]).toEqual([[1, 1, 0, 0], 1]);
    swInc(machine, timeline, 1);
    expect([counts(SIGNALED), counts(ACTIVE)[3]]).toEqual([[1, 1, 1, 1], 0]);
    end(machine);
  });

  it('fence_merge_same_fence', () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const fence = swFence(machine, timeline, 5);
    const merged = syncMerge(machine, fence, fence);
    expect(count(machine, merged, SIGNALED)).toBe(0);
    swInc(machine, timeline, 5);
    expect(count(machine, merged, SIGNALED)).toBe(1);
    end(machine);
  });

  it('fence_multi_timeline_wait', () => {
    using machine = testMachine();
    const timelines = [0, 1, 2].map(() => swOpen(machine)) as [number, number, number];
    const [a, b, c] = timelines.map((timeline) => swFence(machine, timeline, 5)) as [number, number, number];
    const merged = syncMerge(machine, syncMerge(machine, a, b), c);
    const counts = () => [ACTIVE, SIGNALED].map((status) => count(machine, merged, status));
    expect(counts()).toEqual([3, 0]);
    expect(syncWait(machine, merged, 0)).toBe(false);
    for (let n = 0; n < 3; n++) {
      swInc(machine, timelines[n]!, 5);
      expect(counts()).toEqual([2 - n, n + 1]);
    }
    expect(syncWait(machine, merged, 100)).toBe(true);
    end(machine);
  });

  it('stress_two_threads_shared_timeline', { timeout: 60_000 }, async () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const counter = machine.root('counter', 16);
    const rounds = 65536 / 32;
    const workers = await startMany(machine, 2, (id) => ({ job: 'shared-timeline', timeline, id, counter, rounds }));
    for (const { result } of workers) await result;
    expect(atomicLoad(machine.mem, counter)).toBe(2 * rounds);
    end(machine);
  });

  it('consumer_stress_multi_producer_single_consumer', { timeout: 60_000 }, async () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const producers = Array.from({ length: 5 }, () => swOpen(machine));
    const counter = machine.root('counter', 16);
    const rounds = 4096 / 64;
    const workers = await startMany(machine, 5, (id) => ({
      job: 'producer',
      timeline,
      other: producers[id]!,
      id,
      rounds,
      counter,
    }));
    for (let value = 1; value <= rounds; value++) {
      const merged = mergeAll(
        machine,
        producers.map((producer) => swFence(machine, producer, value)),
      );
      expect(syncWait(machine, merged, 20_000)).toBe(true);
      expect(atomicLoad(machine.mem, counter)).toBe(5 * value);
      close(machine, merged);
      swInc(machine, timeline, 1);
    }
    for (const { result } of workers) await result;
    end(machine);
  });

  it('merge_stress_random_merge', { timeout: 60_000 }, () => {
    using machine = testMachine();
    const random = new Random(7);
    const timelines = Array.from({ length: 32 }, () => swOpen(machine));
    const latest = new Map<number, number>([[0, 0]]);
    let merged = swFence(machine, timelines[0]!, 0);
    for (let round = 0; round < 32768 / 8; round++) {
      const [timeline, value] = [random.below(32), random.below(0x7fffffff)];
      const fence = swFence(machine, timelines[timeline]!, value);
      merged = mergeAll(machine, [merged, fence]);
      latest.set(timeline, Math.max(latest.get(timeline) ?? 0, value));
    }
    expect(size(machine, merged)).toBe(latest.size);
    for (const [timeline, value] of latest) {
      expect(syncWait(machine, merged, 0)).toBe(false);
      swInc(machine, timelines[timeline]!, value);
    }
    expect(syncWait(machine, merged, 0)).toBe(true);
    end(machine);
  });
});
