import { Fence, FenceCallback } from '@dmabuf-emu/core';
import { countCallback, mockFence } from '#dist/fence/mock-fence.test-worker.js';
import { atomicLoad, atomicStore, ERRNO, type Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { availableParallelism } from 'node:os';
import { describe, expect, it } from 'vitest';
import { startJob } from './fence-worker.fixture.ts';

/** A callback that counts its calls, and how to read the count. */
function counting(machine: Machine): FenceCallback & { calls: number } {
  const at = machine.root('calls', 16);
  const callback = FenceCallback.create(machine, countCallback, at);
  return Object.defineProperty(callback, 'calls', { get: () => atomicLoad(machine.mem, at) }) as never;
}

/** drivers/dma-buf/st-dma-fence.c, spec §7.1. */
describe('st-dma-fence', () => {
  it('sanitycheck', () => {
    using machine = testMachine();
    const f = mockFence(machine);
    f.enableSignaling();
    f.signalUnowned();
    f.put();
    expect(machine.diag.unexpected()).toEqual([]);
  });

  it('test_signaling', () => {
    using machine = testMachine();
    const f = mockFence(machine);
    f.enableSignaling();
    expect(f.isSignaled()).toBe(false);
    expect(f.checkAndSignal()).toBe(false);
    expect(f.isSignaled()).toBe(true);
    expect(f.signaledFlag()).toBe(true);
    expect(f.hasOps).toBe(false);
    f.put();
  });

  it('test_add_callback', () => {
    using machine = testMachine();
    const f = mockFence(machine);
    const cb = counting(machine);
    expect(f.addCallback(cb)).toBe(true);
    f.signalUnowned();
    expect(cb.calls).toBe(1);
    cb.free();
    f.put();
  });

  it('test_late_add_callback', () => {
    using machine = testMachine();
    const f = mockFence(machine);
    const cb = counting(machine);
    f.enableSignaling();
    f.signalUnowned();
    expect(f.addCallback(cb)).toBe(false);
    f.signalUnowned();
    expect(cb.calls).toBe(0);
    cb.free();
    f.put();
  });

  it('test_rm_callback', () => {
    using machine = testMachine();
    const f = mockFence(machine);
    const cb = counting(machine);
    expect(f.addCallback(cb)).toBe(true);
    expect(f.removeCallback(cb)).toBe(true);
    f.signalUnowned();
    expect(cb.calls).toBe(0);
    cb.free();
    f.put();
  });

  it('test_late_rm_callback', () => {
    using machine = testMachine();
    const f = mockFence(machine);
    const cb = counting(machine);
    expect(f.addCallback(cb)).toBe(true);
    f.signalUnowned();
    expect(cb.calls).toBe(1);
    expect(f.removeCallback(cb)).toBe(false);
    cb.free();
    f.put();
  });

  it('test_status', () => {
    using machine = testMachine();
    const f = mockFence(machine);
    f.enableSignaling();
    expect(f.status()).toBe(0);
    f.signalUnowned();
    expect(f.status()).toBe(1);
    f.put();
  });

  it('test_error', () => {
    using machine = testMachine();
    const f = mockFence(machine);
    f.enableSignaling();
    f.setError('EIO');
    expect(f.status()).toBe(0);
    f.signalUnowned();
    expect(f.status()).toBe(-ERRNO.EIO);
    f.put();
  });

  it('test_wait', () => {
    using machine = testMachine();
    const f = mockFence(machine);
    f.enableSignaling();
    expect(f.wait({ timeoutMs: 0 })).toBe(0);
    f.signalUnowned();
    expect(f.wait({ timeoutMs: 0 })).toBe(1);
    f.put();
  });

  it('test_wait_timeout', async () => {
    using machine = testMachine();
    const f = mockFence(machine);
    f.enableSignaling();
    expect(f.wait({ timeoutMs: 1 })).toBe(0);
    // The timer is a worker that signals once this task sleeps.
    const timer = await startJob(machine, { job: 'signal-sleeper', fences: [f.ref], other: machine.tid });
    expect(f.wait({ timeoutMs: 10_000 })).toBeGreaterThan(0);
    await timer.result;
    f.put();
  });

  it('test_stub', () => {
    using machine = testMachine();
    const stubs = Array.from({ length: 64 }, () => Fence.stub(machine));
    for (const f of stubs) expect(f.isSignaled()).toBe(true);
    for (const f of stubs) f.put();
  });

  it.skipIf(availableParallelism() < 2)('race_signal_callback', async () => {
    for (const before of [0, 1]) {
      using machine = testMachine();
      const slots = machine.root('race', 48);
      const job = { job: 'race-signal-callback', rounds: before, fences: [slots + 32] } as const;
      const a = await startJob<object>(machine, { ...job, at: slots, other: slots + 16 }, { ready: true, name: 'A' });
      const b = await startJob<object>(machine, { ...job, at: slots + 16, other: slots }, { ready: true, name: 'B' });
      // The length of a pass, as upstream: nothing depends on it but how many races there are.
      await new Promise((resolve) => setTimeout(resolve, 50));
      atomicStore(machine.mem, slots + 32, 1);
      for (const result of [await a.result, await b.result]) {
        expect(result).toMatchObject({ unseen: 0 });
        expect(result).toHaveProperty('passes', expect.any(Number));
      }
    }
  });
});
