import {
  fenceAddCallback,
  fenceAssertHeld,
  fenceBeginSignalling,
  fenceChainAlloc,
  fenceChainFree,
  fenceEndSignalling,
  fenceGetStatusLocked,
  fenceIsSignaledLocked,
  fenceLock,
  fenceSignalLocked,
  fenceUnlock,
  fenceWaitAny,
  fenceWasInitialized,
  Resv,
  ResvUsage,
} from '@dmabuf-emu/core';
import { mockFence } from '#dist/fence/mock-fence.test-worker.js';
import { WwAcquireCtx, wwClass } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';

/** core §3.13 */
describe('a section on the way to signalling', () => {
  it('must not wait for fences, nor lock reservation objects', () => {
    using machine = testMachine();
    machine.diag.expect('lockdep', 'fence-critical');
    const f = mockFence(machine);
    const resv = Resv.create(machine);
    f.signalUnowned();
    const cookie = fenceBeginSignalling(machine);
    f.wait();
    fenceWaitAny(machine, [f.ref], { timeoutMs: 5 });
    resv.lock();
    expect(machine.diag.records().map((record) => record.text)).toEqual([
      'dma_fence_wait_timeout in a section that other fences wait for',
      'dma_fence_wait_any_timeout in a section that other fences wait for',
      'dma_resv_lock in a section that other fences wait for',
    ]);
    resv.unlock();
    expect(resv.tryLock()).toBe(true);
    resv.unlock();
    fenceEndSignalling(machine, cookie);
    resv.with(() => f.wait());
    expect(machine.diag.count('lockdep')).toBe(3);
    resv.destroy();
    f.put();
  });

  it('may be nested: it ends with the outermost', () => {
    using machine = testMachine();
    machine.diag.expect('lockdep', 'fence-critical');
    const f = mockFence(machine);
    f.signalUnowned();
    const outer = fenceBeginSignalling(machine);
    const inner = fenceBeginSignalling(machine);
    expect([outer, inner]).toEqual([false, true]);
    fenceEndSignalling(machine, inner);
    f.wait();
    expect(machine.diag.count('lockdep')).toBe(1);
    fenceEndSignalling(machine, outer);
    f.wait();
    expect(machine.diag.count('lockdep')).toBe(1);
    f.put();
  });

  it('is not looked at without lock validation', () => {
    using machine = testMachine({ lockdep: false });
    const f = mockFence(machine);
    f.signalUnowned();
    const cookie = fenceBeginSignalling(machine);
    f.wait();
    fenceEndSignalling(machine, cookie);
    expect(machine.diag.count('lockdep')).toBe(0);
    f.put();
  });
});

describe('calls that are made wrongly', () => {
  it('of functions that need the lock of the fence are reported', () => {
    using machine = testMachine();
    machine.diag.expect('lockdep', 'not-held');
    const f = mockFence(machine);
    fenceLock(machine, f.ref);
    expect([fenceIsSignaledLocked(machine, f.ref), fenceGetStatusLocked(machine, f.ref)]).toEqual([false, 0]);
    fenceUnlock(machine, f.ref);
    expect(machine.diag.count('lockdep')).toBe(0);
    fenceAssertHeld(machine, f.ref, 'a driver');
    fenceIsSignaledLocked(machine, f.ref);
    fenceGetStatusLocked(machine, f.ref);
    fenceSignalLocked(machine, f.ref);
    expect(machine.diag.records().map((record) => record.text)).toEqual(
      [
        'a driver',
        'dma_fence_is_signaled_locked',
        'dma_fence_get_status_locked',
        'dma_fence_signal_timestamp_locked',
      ].map((call) => `${call} needs the fence's lock held`),
    );
    f.put();
  });

  it('add no callback to null, and no null to a fence: EINVAL after a WARN', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'fence-null');
    const f = mockFence(machine);
    expect(() => fenceAddCallback(machine, 0, () => {})).toThrow(/EINVAL, dma_fence_add_callback: .*a null fence/);
    expect(() => f.addCallback(undefined as never)).toThrow(/EINVAL, dma_fence_add_callback: .*no callback/);
    expect(machine.diag.count('warn')).toBe(2);
    f.put();
  });

  it('lock a reservation object with a context of another class: a WARN', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'ww-class');
    const resv = Resv.create(machine);
    const ctx = WwAcquireCtx.init(machine, wwClass('another', 'wound-wait'));
    resv.lock(ctx);
    expect(machine.diag.records().map((record) => record.text)).toEqual(['dma_resv_lock with a context of another']);
    resv.unlock();
    ctx.fini();
    expect(resv.testSignaled(ResvUsage.BOOKKEEP)).toBe(true);
    resv.destroy();
  });
});

it('tells fences from what is not one yet', () => {
  using machine = testMachine();
  const f = mockFence(machine);
  const { ref } = f;
  const node = fenceChainAlloc(machine);
  expect([ref, node, 0].map((r) => fenceWasInitialized(machine, r))).toEqual([true, false, false]);
  fenceChainFree(machine, node);
  f.put();
  expect(fenceWasInitialized(machine, ref)).toBe(false);
});
