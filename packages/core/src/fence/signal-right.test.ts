import { Fence, SignalRight } from '@dmabuf-emu/core';
import { mockFence, mockOps } from '#dist/fence/mock-fence.test-worker.js';
import { type Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { startJob } from './fence-worker.fixture.ts';

const make = (machine: Machine): SignalRight => Fence.create(machine, { ops: mockOps, context: 3, seqno: 1, priv: 42 });

describe('SignalRight', () => {
  it('is used up by signalling, its reference too', () => {
    using machine = testMachine();
    const right = make(machine);
    const fence = right.fence.get();
    expect([fence.refCount, fence.priv]).toEqual([2, 42]);
    right.signal();
    expect([fence.status(), fence.refCount]).toEqual([1, 1]);
    right.drop();
    fence.put();
  });

  it('ends the fence with its error', () => {
    using machine = testMachine();
    using right = make(machine);
    const fence = right.fence.get();
    right.setError('EIO');
    right.signal(12);
    expect([fence.status(), fence.timestampNs()]).toEqual([-5, 12]);
    fence.put();
  });

  it('ends it with ECANCELED when it is dropped', () => {
    using machine = testMachine();
    let fence: Fence;
    {
      using right = make(machine);
      fence = right.fence.get();
    }
    expect([fence.status(), fence.refCount]).toEqual([-125, 1]);
    fence.put();
  });

  it('leaves a fence alone that its driver ended meanwhile', () => {
    using machine = testMachine();
    const right = make(machine);
    const fence = right.fence.get();
    fence.signalUnowned();
    right.drop();
    expect(fence.status()).toBe(1);
    fence.put();
  });

  it('cannot be used twice', () => {
    using machine = testMachine();
    machine.diag.expect('violation', 'fence-signalled-twice');
    const right = make(machine);
    const fence = right.fence.get();
    right.signal();
    right.signal();
    right.setError('EIO');
    expect(machine.diag.count('violation')).toBe(2);
    expect(fence.status()).toBe(1);
    expect(() => right.handOver()).toThrow(/signalled cannot be handed over/);
    fence.put();
  });

  it('cannot be used after dropping', () => {
    using machine = testMachine();
    machine.diag.expect('violation', 'fence-right-lost');
    const right = make(machine);
    right.drop();
    right.drop();
    right.signal();
    expect(machine.diag.records().at(-1)!.text).toMatch(/the right to signal it was dropped/);
  });

  it.each([
    ['adopt-signal', 1],
    ['adopt-drop', -125],
  ] as const)('can go to another thread: %s', async (job, status) => {
    using machine = testMachine();
    const right = make(machine);
    const fence = right.fence.get();
    const worker = await startJob(machine, { job, fences: [right.handOver()] });
    expect(fence.wait({ timeoutMs: 10_000 })).toBeGreaterThan(0);
    await worker.result;
    right.drop();
    expect([fence.status(), fence.refCount]).toEqual([status, 1]);
    fence.put();
  });

  it('is lost to who adopted it', async () => {
    using machine = testMachine();
    machine.diag.expect('violation', 'fence-right-lost');
    const right = make(machine);
    const fence = right.fence.get();
    const taken = await startJob(machine, { job: 'own-and-hang', fences: [fence.ref] }, { ready: true });
    right.signal();
    expect([machine.diag.count('violation'), fence.status()]).toEqual([1, 0]);
    await taken.worker.terminate();
    machine.reap(taken.task);
    expect([fence.status(), fence.refCount]).toEqual([-125, 1]);
    fence.put();
  });

  it('cannot be adopted where there is none', () => {
    using machine = testMachine();
    const f = mockFence(machine);
    expect(() => SignalRight.adopt(machine, f.ref)).toThrow(/EALREADY, SignalRight.adopt/);
    f.put();
  });
});

describe('a task that goes', () => {
  it('cancels what only it could signal, when it leaves', async () => {
    using machine = testMachine();
    const right = make(machine);
    const fence = right.fence.get();
    const { result } = await startJob(machine, { job: 'own-and-leave', fences: [right.handOver()] });
    await result;
    expect([fence.status(), fence.refCount]).toEqual([-125, 1]);
    fence.put();
  });

  it('cancels it, when it is killed and reaped: nobody waits for ever', async () => {
    using machine = testMachine();
    const right = make(machine);
    const fence = right.fence.get();
    const job = { job: 'own-and-hang', fences: [right.handOver()] } as const;
    const owner = await startJob(machine, job, { ready: true, name: 'owner' });
    const waiter = await startJob<number>(
      machine,
      { job: 'wait', fences: [fence.ref] },
      { ready: true, name: 'waiter' },
    );
    await owner.worker.terminate();
    machine.reap(owner.task);
    expect(await waiter.result).toBe(Number.POSITIVE_INFINITY);
    expect(fence.status()).toBe(-125);
    fence.put();
  });

  it('may be killed inside a callback: the rest of the callbacks run, the lock is free', async () => {
    using machine = testMachine();
    const right = make(machine);
    const fence = right.fence.get();
    const job = { job: 'hang-in-callback', fences: [right.handOver()] } as const;
    const owner = await startJob(machine, job, { ready: true, name: 'owner' });
    expect(fence.signaledFlag()).toBe(true);
    await owner.worker.terminate();
    machine.reap(owner.task);
    expect(fence.removeCallback(() => {})).toBe(false);
    expect([fence.status(), machine.tainted]).toEqual([1, true]);
    const report = machine.verify();
    expect([report.errors, report.leaks]).toEqual([[], []]);
    expect(report.damage).toContainEqual(expect.stringMatching(/^dma_fence: .*3:1: 2 references belong to nobody/));
  });
});
