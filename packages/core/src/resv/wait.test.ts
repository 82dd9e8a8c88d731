import { Fence, Resv, ResvUsage } from '@dmabuf-emu/core';
import { mockFence } from '#dist/fence/mock-fence.test-worker.js';
import { type Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { startResvJob, untilAsleep } from './resv-worker.fixture.ts';

const { KERNEL, READ, BOOKKEEP } = ResvUsage;

/** A reservation object with `count` fences of class `usage`; the test holds a reference on each. */
function withFences(machine: Machine, count: number, usage: ResvUsage = READ): { resv: Resv; fences: Fence[] } {
  const resv = Resv.create(machine);
  const fences = Array.from({ length: count }, (_, n) => mockFence(machine, n + 1, 1));
  resv.lock();
  resv.reserveFences(count);
  for (const fence of fences) resv.addFence(fence, usage);
  resv.unlock();
  return { resv, fences };
}

function end({ resv, fences }: { resv: Resv; fences: Fence[] }): void {
  for (const fence of fences) fence.put();
  resv.destroy();
}

describe('dma_resv_wait_timeout', () => {
  it('gives the timeout back, 1 for 0, when there is nothing to wait for', () => {
    using machine = testMachine();
    const s = withFences(machine, 2);
    expect([s.resv.wait(KERNEL), s.resv.wait(KERNEL, { timeoutMs: 7 }), s.resv.wait(KERNEL, { timeoutMs: 0 })]).toEqual(
      [Number.POSITIVE_INFINITY, 7, 1],
    );
    end(s);
  });

  it('polls with a timeout of 0', () => {
    using machine = testMachine();
    const s = withFences(machine, 2);
    expect(s.resv.wait(READ, { timeoutMs: 0 })).toBe(0);
    s.fences[0]!.signalUnowned();
    expect(s.resv.wait(READ, { timeoutMs: 0 })).toBe(0);
    s.fences[1]!.signalUnowned();
    expect(s.resv.wait(READ, { timeoutMs: 0 })).toBe(1);
    end(s);
  });

  it('leaves no reference when it times out', () => {
    using machine = testMachine();
    const s = withFences(machine, 2);
    expect(s.resv.wait(BOOKKEEP, { timeoutMs: 1 })).toBe(0);
    expect(s.fences.map((f) => f.refCount)).toEqual([2, 2]);
    end(s);
  });

  it('refuses a negative timeout when there is something to wait for', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'fence-timeout');
    const s = withFences(machine, 1);
    expect(() => s.resv.wait(READ, { timeoutMs: -1 })).toThrow(/EINVAL/);
    expect(s.fences[0]!.refCount).toBe(2);
    end(s);
  });

  it('waits for one after the other with what is left of the budget', async () => {
    using machine = testMachine({ clock: 'manual' });
    const s = withFences(machine, 3, BOOKKEEP);
    const { result, task } = await startResvJob<number>(machine, { job: 'wait', resvs: [s.resv.ref], timeoutMs: 100 });
    for (const fence of s.fences) {
      await untilAsleep(machine, task, fence.ref);
      machine.clock.advance(20);
      fence.signalUnowned();
    }
    expect(await result).toBe(40);
    end(s);
  });

  it('starts again when the list is replaced meanwhile, and waits for what was added', async () => {
    using machine = testMachine();
    const s = withFences(machine, 1);
    const { result, task } = await startResvJob<number>(machine, { job: 'wait', resvs: [s.resv.ref] });
    await untilAsleep(machine, task, s.fences[0]!.ref);
    const late = mockFence(machine, 9, 1);
    s.resv.lock();
    s.resv.reserveFences(20);
    s.resv.addFence(late, BOOKKEEP);
    s.resv.unlock();
    s.fences[0]!.signalUnowned();
    await untilAsleep(machine, task, late.ref);
    late.signalUnowned();
    expect(await result).toBe(Number.POSITIVE_INFINITY);
    late.put();
    end(s);
  });

  it('ends with ERESTARTSYS for a signalled task', async () => {
    using machine = testMachine();
    const s = withFences(machine, 1);
    const { result, task } = await startResvJob<string>(machine, {
      job: 'wait',
      resvs: [s.resv.ref],
      interruptible: true,
    });
    await untilAsleep(machine, task, s.fences[0]!.ref);
    machine.interrupt(task);
    expect(await result).toBe('ERESTARTSYS');
    expect(s.fences[0]!.refCount).toBe(2);
    end(s);
  });
});
