import {
  defineFenceOps,
  Fence,
  FenceArray,
  FenceCallback,
  FenceChain,
  fenceContextAlloc,
  type FenceOps,
  mergeFences,
} from '@dmabuf-emu/core';
import { countCallback, mockFence, mockOps } from '#dist/fence/mock-fence.test-worker.js';
import { atomicLoad, atomicStore, Completion, type Machine } from '@dmabuf-emu/shm';
import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { LIMIT_MS, startJob } from './fence-worker.fixture.ts';

const chainUrl = new URL(import.meta.resolve('#dist/fence/chain.test-worker.js'));

function put(...fences: readonly Fence[]): void {
  for (const fence of fences) fence.put();
}

function mocks(machine: Machine, count: number, ops: FenceOps = mockOps): Fence[] {
  return Array.from({ length: count }, () => mockFence(machine, fenceContextAlloc(machine), 1, ops));
}

/** An array of the first two fences under a chain's first point, the others are its later points. */
function tree(machine: Machine, fences: readonly Fence[]): Fence {
  const [a, b, ...rest] = fences.map((f) => f.get()) as [Fence, Fence, ...Fence[]];
  let head = FenceChain.create(undefined, FenceArray.create(machine, [a, b]).fence, 1);
  for (const [i, fence] of rest.entries()) head = FenceChain.create(head, fence, i + 2);
  return head.fence;
}

/** core §3.9 */
describe('deadlines', () => {
  it('reach everything that an array or chain still waits for, whichever comes first', () => {
    using machine = testMachine();
    const asked: [number, number][] = [];
    const ops = defineFenceOps({
      ...mockOps,
      name: 'deadlines',
      setDeadline: (fence, deadlineNs) => void asked.push([fence.context, deadlineNs]),
    });
    const fences = mocks(machine, 4, ops);
    const head = tree(machine, fences);
    head.setDeadline(900);
    head.setDeadline(100);
    const order = [3, 2, 0, 1].map((i) => fences[i]!.context);
    expect(asked).toEqual([...order.map((c) => [c, 900]), ...order.map((c) => [c, 100])]);
    asked.length = 0;
    fences[2]!.signalUnowned();
    fences[0]!.signalUnowned();
    head.setDeadline(50);
    expect(asked.map(([context]) => context)).toEqual([fences[3]!.context, fences[1]!.context]);
    for (const fence of fences) fence.signalUnowned();
    asked.length = 0;
    head.setDeadline(10);
    expect(asked).toEqual([]);
    put(head, ...fences);
  });
});

describe('fences of fences, with other threads', () => {
  it('end in the thread that ends their last part, and wake waiters elsewhere', async () => {
    using machine = testMachine();
    const fences = mocks(machine, 4);
    const head = tree(machine, fences);
    const waiter = await startJob<number>(
      machine,
      { job: 'wait', fences: [head.ref], timeoutMs: LIMIT_MS },
      { ready: true, name: 'waiter' },
    );
    const signallers = await Promise.all(
      fences.map((f, i) =>
        startJob(machine, { job: 'signal-sleeper', fences: [f.ref], other: waiter.task }, { name: `signaller-${i}` }),
      ),
    );
    for (const { result } of signallers) await result;
    expect(await waiter.result).toBeGreaterThan(0);
    expect(head.signaledFlag()).toBe(true);
    put(head, ...fences);
  });

  it.each([1, 2, 3])('end once, whichever threads race for the end (%i)', async (round) => {
    using machine = testMachine();
    const fences = mocks(machine, 300);
    const calls = machine.root('calls', 16);
    const heads = Array.from({ length: 50 }, (_, i) => tree(machine, fences.slice(i * 6, i * 6 + 6)));
    const callbacks = heads.map((head) => {
      const callback = FenceCallback.create(machine, countCallback, calls);
      expect(head.addCallback(callback)).toBe(true);
      return callback;
    });
    const jobs = [0, 1, 2].map((n) => fences.filter((_, i) => (i + round) % 3 === n).map((f) => f.ref));
    const workers = await Promise.all(
      jobs.map((refs, n) =>
        startJob(machine, { job: 'signal-sleeper', fences: refs, other: machine.tid }, { name: `signaller-${n}` }),
      ),
    );
    for (const head of heads) expect(head.wait({ timeoutMs: LIMIT_MS })).toBeGreaterThan(0);
    await Promise.all(workers.map((w) => w.result));
    expect(atomicLoad(machine.mem, calls)).toBe(heads.length);
    for (const callback of callbacks) callback.free();
    expect(heads.map((head) => head.refCount)).toEqual(heads.map(() => 1));
    put(...heads, ...fences);
  });

  it('are merged while their parts end', async () => {
    using machine = testMachine();
    const fences = mocks(machine, 400);
    let head: FenceChain | undefined;
    for (let i = 0; i < fences.length; i += 2) {
      const pair = FenceArray.create(machine, [fences[i]!.get(), fences[i + 1]!.get()]).fence;
      head = FenceChain.create(head, pair, i + 1);
    }
    const stop = machine.root('stop', 16);
    const workers = await Promise.all(
      ['a', 'b'].map(async (name) => {
        const ready = machine.root(`ready-${name}`, 16);
        const args = { job: 'merge-race', tail: head!.fence.ref, fences: fences.map((f) => f.ref), ready, stop };
        const worker = startTestWorker<{ merges: number; arrays: number }>(chainUrl, machine, args, name);
        expect(await new Completion(machine, ready, 'ready').waitAsync(LIMIT_MS)).toBe(true);
        return worker;
      }),
    );
    for (const fence of fences) {
      const merged = mergeFences(machine, [head!.fence, fence]);
      expect(merged.signaledFlag()).toBe(false);
      merged.put();
      fence.signalUnowned();
    }
    expect(head!.fence.isSignaled()).toBe(true);
    atomicStore(machine.mem, stop, 1);
    for (const { result } of workers) expect((await result).merges).toBeGreaterThan(0);
    put(head!.fence, ...fences);
  });

  it.each(['array', 'chain'])('of kind %s end when the thread dies that was about to end them', async (kind) => {
    using machine = testMachine();
    const right = Fence.create(machine, { ops: mockOps, context: 5, seqno: 1 });
    const member = right.fence.get();
    const outer =
      kind === 'array'
        ? FenceArray.create(machine, [member.get()]).fence
        : FenceChain.create(undefined, member.get(), 1).fence;
    outer.enableSignaling();
    // The worker's own callback comes after the outer fence's, and never returns.
    const job = { job: 'hang-in-callback', fences: [right.handOver()] } as const;
    const signaller = await startJob(machine, job, { ready: true, name: 'signaller' });
    expect([member.signaledFlag(), outer.signaledFlag()]).toEqual([true, false]);
    await signaller.worker.terminate();
    machine.reap(signaller.task);
    expect([outer.signaledFlag(), outer.status(), outer.refCount]).toEqual([true, 1, 1]);
    put(outer, member);
  });

  it('go on to the next point when the thread dies that was about to', async () => {
    using machine = testMachine();
    const first = mockFence(machine, 5, 1);
    const right = Fence.create(machine, { ops: mockOps, context: 5, seqno: 2 });
    const last = right.fence.get();
    const head = FenceChain.create(FenceChain.create(undefined, first.get(), 1), last.get(), 2).fence;
    head.enableSignaling();
    const job = { job: 'hang-in-callback', fences: [right.handOver()] } as const;
    const signaller = await startJob(machine, job, { ready: true, name: 'signaller' });
    await signaller.worker.terminate();
    machine.reap(signaller.task);
    expect(head.signaledFlag()).toBe(false);
    first.signalUnowned();
    expect(head.signaledFlag()).toBe(true);
    put(head, first, last);
  });
});
