import {
  defineFenceOps,
  type Fence,
  fenceGetStatusLocked,
  fenceIsSignaledLocked,
  fenceLock,
  fenceUnlock,
  type FenceOps,
} from '@dmabuf-emu/core';
import { mockFence, mockOps } from '#dist/fence/mock-fence.test-worker.js';
import { Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it, vi } from 'vitest';

let drivers = 0;
/** A driver with these operations, under a name of its own. */
const driver = (ops: Partial<FenceOps>): FenceOps => defineFenceOps({ ...mockOps, ...ops, name: `test-${++drivers}` });

describe('enableSignaling', () => {
  it('is called once, by whoever first needs it', () => {
    using machine = testMachine();
    const enableSignaling = vi.fn<(fence: Fence) => boolean>(() => true);
    const f = mockFence(machine, 1, 1, driver({ enableSignaling }));
    expect(enableSignaling).not.toHaveBeenCalled();
    f.addCallback(() => {});
    f.enableSignaling();
    f.wait({ timeoutMs: 0 });
    expect(enableSignaling).toHaveBeenCalledTimes(1);
    f.signalUnowned();
    f.put();
  });

  it('signals the fence when it says no, with the error it left', () => {
    using machine = testMachine();
    const ops = driver({
      enableSignaling(fence) {
        fence.setError('ENODATA');
        return false;
      },
    });
    const f = mockFence(machine, 1, 1, ops);
    const callback = vi.fn<(fence: Fence) => void>();
    expect(f.addCallback(callback)).toBe(false);
    expect([f.status(), callback.mock.calls.length]).toEqual([-61, 0]);
    f.put();
  });

  it('is not called for a signalled fence', () => {
    using machine = testMachine();
    const enableSignaling = vi.fn<(fence: Fence) => boolean>(() => true);
    const f = mockFence(machine, 1, 1, driver({ enableSignaling }));
    f.signalUnowned();
    f.enableSignaling();
    expect(f.wait()).toBe(Number.POSITIVE_INFINITY);
    expect(enableSignaling).not.toHaveBeenCalled();
    f.put();
  });

  it('may throw: the lock is free again', () => {
    using machine = testMachine();
    const f = mockFence(
      machine,
      1,
      1,
      driver({
        enableSignaling() {
          throw new Error('broken driver');
        },
      }),
    );
    expect(() => f.enableSignaling()).toThrow('broken driver');
    fenceLock(machine, f.ref);
    fenceUnlock(machine, f.ref);
    f.put();
  });
});

describe('signaled', () => {
  it('is polled until it says yes, which signals', () => {
    using machine = testMachine();
    let done = false;
    const signaled = vi.fn<(fence: Fence) => boolean>(() => done);
    const f = mockFence(machine, 1, 1, driver({ signaled }));
    expect([f.isSignaled(), f.status()]).toEqual([false, 0]);
    done = true;
    expect([f.signaledFlag(), f.isSignaled(), f.signaledFlag(), f.status()]).toEqual([false, true, true, 1]);
    expect(signaled).toHaveBeenCalledTimes(3);
    f.put();
  });

  it('is not noticed by wait and enable', () => {
    using machine = testMachine();
    const f = mockFence(machine, 1, 1, driver({ signaled: () => true }));
    expect(f.wait({ timeoutMs: 0 })).toBe(0);
    f.enableSignaling();
    expect(f.signaledFlag()).toBe(false);
    expect(f.driverName()).toBe('mock');
    expect(f.status()).toBe(1);
    f.put();
  });

  it('may be asked with the lock held', () => {
    using machine = testMachine();
    const f = mockFence(machine, 1, 1, driver({ signaled: () => true }));
    fenceLock(machine, f.ref);
    expect([fenceIsSignaledLocked(machine, f.ref), fenceGetStatusLocked(machine, f.ref)]).toEqual([true, 1]);
    fenceUnlock(machine, f.ref);
    f.put();
  });
});

describe('wait', () => {
  it('takes the place of the core, as long as the driver is attached; having it keeps it attached', () => {
    using machine = testMachine();
    const wait = vi.fn<(fence: Fence, interruptible: boolean, timeoutMs: number) => number>(() => 7);
    const f = mockFence(machine, 1, 1, driver({ wait }));
    expect(f.wait({ timeoutMs: 100, interruptible: true })).toBe(7);
    expect(wait).toHaveBeenCalledWith(expect.objectContaining({ ref: f.ref }), true, 100);
    f.signalUnowned();
    expect([f.hasOps, f.wait({ timeoutMs: 9 })]).toEqual([true, 7]);
    f.put();
  });
});

describe('release', () => {
  it('runs when the last reference goes, signalled or not', () => {
    using machine = testMachine();
    const release = vi.fn<(fence: Fence) => void>();
    const ops = driver({ release });
    const [a, b] = [mockFence(machine, 1, 1, ops), mockFence(machine, 1, 2, ops)];
    a.signalUnowned();
    a.get();
    a.put();
    expect(release).not.toHaveBeenCalled();
    a.put();
    b.put();
    expect(release.mock.calls.map(([fence]) => fence.ref)).toEqual([a.ref, b.ref]);
  });
});

describe('setDeadline', () => {
  it('reaches the driver of an unsignalled fence, which may be polled for it', () => {
    using machine = testMachine();
    const setDeadline = vi.fn<(fence: Fence, ns: number) => void>();
    let done = false;
    const f = mockFence(machine, 1, 1, driver({ setDeadline, signaled: () => done }));
    f.setDeadline(5);
    f.setDeadline(3);
    done = true;
    f.setDeadline(1);
    expect(setDeadline.mock.calls.map(([, ns]) => ns)).toEqual([5, 3]);
    expect(f.signaledFlag()).toBe(true);
    const plain = mockFence(machine);
    plain.setDeadline(1);
    f.put();
    plain.put();
  });
});

describe('a thread without the driver', () => {
  it('can do all that needs no operation, and is told which driver it lacks otherwise', () => {
    using machine = testMachine();
    const plain = mockFence(machine, 5, 1);
    const polled = mockFence(machine, 5, 2, driver({ signaled: () => true }));
    const other = Machine.join(machine.handle, { name: 'bare' });
    const there = (f: typeof plain): typeof plain =>
      Object.assign(Object.create(Object.getPrototypeOf(f)), { machine: other, ref: f.ref });
    expect([there(plain).isSignaled(), there(plain).wait({ timeoutMs: 0 })]).toEqual([false, 0]);
    expect(() => there(plain).describe()).toThrow(/fence driver 'mock' is not registered in thread 'bare'/);
    expect(() => there(polled).isSignaled()).toThrow(
      /fence driver 'test-\d+' is not registered in thread 'bare' \(task 2\)/,
    );
    other.leave();
    plain.put();
    polled.put();
  });
});

describe('trace', () => {
  it('names the steps of a life', () => {
    using machine = testMachine({ traceEvents: 64 });
    const f = mockFence(machine, 3, 8, driver({ enableSignaling: () => true }));
    f.wait({ timeoutMs: 0 });
    f.signalUnowned();
    f.put();
    const events = machine.trace.read().filter((e) => e.name.startsWith('dma_fence_'));
    expect(events.map((e) => e.name.slice('dma_fence_'.length))).toEqual([
      'init',
      'enable_signal',
      'wait_start',
      'wait_end',
      'signaled',
      'destroy',
    ]);
    expect(events.every((e) => e.args[0] === f.ref && e.args[1] === 3 && e.args[2] === 8)).toBe(true);
  });
});
