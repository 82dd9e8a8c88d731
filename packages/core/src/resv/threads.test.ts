import { Resv, ResvUsage } from '@dmabuf-emu/core';
import { atomicStore } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { startResvJob } from './resv-worker.fixture.ts';

describe('reservation objects under several threads', () => {
  it('show readers without the lock live, pending fences, while the list is written and replaced', async () => {
    using machine = testMachine();
    const resv = Resv.create(machine);
    const stop = machine.root('stop', 16);
    const job = { resvs: [resv.ref], stop, rounds: 15_000 };
    const reader = await startResvJob<{ walks: number; restarts: number }>(
      machine,
      { ...job, job: 'read' },
      { name: 'reader' },
    );
    const writer = await startResvJob<number>(machine, { ...job, job: 'write' }, { name: 'writer' });
    expect(await writer.result).toBeGreaterThanOrEqual(15_000);
    atomicStore(machine.mem, stop, 1);
    const { walks, restarts } = await reader.result;
    expect(walks).toBeGreaterThan(100);
    expect(restarts).toBeGreaterThan(0);
    resv.destroy();
  });

  it('are locked several at a time by transactions that back off', async () => {
    using machine = testMachine();
    const resvs = Array.from({ length: 4 }, () => Resv.create(machine));
    const stop = machine.root('stop', 16);
    const job = { job: 'lock-all', resvs: resvs.map((r) => r.ref), stop, rounds: 1500 } as const;
    const names = ['a', 'b', 'c'];
    const workers = await Promise.all(names.map((name) => startResvJob<number>(machine, job, { ready: false, name })));
    for (const { result } of workers) expect(await result).toBeGreaterThanOrEqual(0);
    expect(machine.mem.i32[stop + 1]).toBe(4500);
    for (const resv of resvs) {
      expect(resv.testSignaled(ResvUsage.BOOKKEEP)).toBe(true);
      resv.destroy();
    }
  });

  it('give a clear error when the holder of the lock dies', async () => {
    using machine = testMachine();
    const resv = Resv.create(machine);
    const holder = await startResvJob(machine, { job: 'hold-and-hang', resvs: [resv.ref] }, { name: 'holder' });
    await holder.worker.terminate();
    machine.reap(holder.task);
    expect(resv.ownerDead).toBe(true);
    expect(() => resv.lock()).toThrow(/EOWNERDEAD.*dma_resv was held by task \d+ \(holder\)/);
    expect(resv.wait(ResvUsage.BOOKKEEP, { timeoutMs: 5 })).toBe(5);
  });
});
