import { Fence, FenceChain } from '@dmabuf-emu/core';
import { chainMockOps, mockFence } from '#dist/fence/mock-fence.test-worker.js';
import { atomicStore, Completion, type Machine, Random } from '@dmabuf-emu/shm';
import { startTestWorker, testMachine, type TestWorker } from '@dmabuf-emu/shm/testing';
import { availableParallelism } from 'node:os';
import { describe, expect, it } from 'vitest';
import type { ChainJob } from './chain.test-worker.ts';
import { LIMIT_MS, untilAsleep } from './fence-worker.fixture.ts';

const CHAIN_SZ = 4096;
/** Backwards each signal makes all later nodes wait for the one before: the square of the size. */
const BACKWARD_SZ = 1024;
/** How long threads race: nothing depends on it but how many races there are. */
const RACE_MS = 1000;
const url = new URL(import.meta.resolve('#dist/fence/chain.test-worker.js'));

const inc = (i: number): number => i + 1;
const inc2 = (i: number): number => 2 * i + 2;

/** A chain of armed nodes over fences that the test holds as well; ending it ends and drops everything. */
class Chains implements Disposable {
  readonly fences: Fence[] = [];
  readonly chains: Fence[] = [];

  constructor(machine: Machine, count: number, seqno: (i: number) => number) {
    for (let i = 0; i < count; i++) {
      const fence = mockFence(machine, 0, 0, chainMockOps);
      const chain = FenceChain.create(this.chains.at(-1)?.get(), fence.get(), seqno(i)).fence;
      chain.enableSignaling();
      this.fences.push(fence);
      this.chains.push(chain);
    }
  }

  get tail(): Fence {
    return this.chains.at(-1)!;
  }

  /** Finds a point from the tail; the reference on what is found is the caller's. */
  find(seqno: number): Fence | undefined {
    return FenceChain.findSeqno(this.tail.get(), seqno);
  }

  [Symbol.dispose](): void {
    for (const fence of this.fences) fence.signalUnowned();
    for (const fence of [...this.fences, ...this.chains]) fence.put();
  }
}

async function start<R>(
  machine: Machine,
  { tail, fences }: Chains,
  job: ChainJob['job'],
  name = 'worker',
): Promise<TestWorker<R>> {
  const [ready, stop] = [machine.root(`ready-${name}`, 16), machine.root('stop', 16)];
  const args: ChainJob = { job, tail: tail.ref, fences: fences.map((f) => f.ref), ready, stop, timeoutMs: LIMIT_MS };
  const worker = startTestWorker<R>(url, machine, args, name);
  expect(await new Completion(machine, ready, 'ready').waitAsync(LIMIT_MS)).toBe(true);
  return worker;
}

/** What a thread gets that waits for a long chain while its fences are signalled in the order that `order` makes of them. */
async function waitCase(order: (fences: Fence[], random: Random) => Fence[], size = CHAIN_SZ): Promise<number> {
  using machine = testMachine();
  using c = new Chains(machine, size, inc);
  const waiter = await start<number>(machine, c, 'wait', 'waiter');
  await untilAsleep(machine, machine.tasks().find((task) => task.name === 'waiter')!.id);
  for (const fence of order([...c.fences], new Random(7))) fence.signalUnowned();
  const left = await waiter.result;
  expect(c.tail.signaledFlag()).toBe(true);
  return left;
}

/** drivers/dma-buf/st-dma-fence-chain.c, core §7.2. */
describe('st-dma-fence-chain', () => {
  it('sanitycheck', () => {
    using machine = testMachine();
    const f = mockFence(machine, 0, 0, chainMockOps);
    const { fence: chain } = FenceChain.create(undefined, f, 1);
    chain.enableSignaling();
    f.signalUnowned();
    expect(chain.signaledFlag()).toBe(true);
    chain.put();
  });

  it('find_seqno', () => {
    using machine = testMachine();
    using c = new Chains(machine, 64, inc);
    const none = c.find(0)!;
    expect(none.ref).toBe(c.tail.ref);
    none.put();
    for (let i = 0; i < 64; i++) {
      const found = c.find(i + 1)!;
      expect(found.ref).toBe(c.chains[i]!.ref);
      const self = FenceChain.findSeqno(found, i + 1)!;
      expect(self.ref).toBe(c.chains[i]!.ref);
      expect(() => FenceChain.findSeqno(self, i + 2)).toThrow(/EINVAL/);
      const before = FenceChain.findSeqno(self, i)!;
      expect(before.ref).toBe(c.chains[Math.max(0, i - 1)]!.ref);
      before.put();
    }
  });

  it('find_signaled', () => {
    using machine = testMachine();
    using c = new Chains(machine, 2, inc);
    c.fences[0]!.signalUnowned();
    const found = c.find(1);
    expect([undefined, c.chains[0]!.ref]).toContain(found?.ref);
    found?.put();
  });

  it('find_out_of_order', () => {
    using machine = testMachine();
    using c = new Chains(machine, 3, inc);
    c.fences[1]!.signalUnowned();
    const found = c.find(2)!;
    expect(found.ref).toBe(c.chains[0]!.ref);
    found.put();
  });

  it('find_gap', () => {
    using machine = testMachine();
    using c = new Chains(machine, 64, inc2);
    for (let i = 0; i < 64; i++) {
      const found = c.find(2 * i + 1)!;
      expect(found.ref).toBe(c.chains[i]!.ref);
      const self = FenceChain.findSeqno(found, 2 * i + 2)!;
      expect(self.ref).toBe(found.ref);
      self.put();
    }
  });

  it('find_race', async () => {
    using machine = testMachine();
    using c = new Chains(machine, CHAIN_SZ, inc);
    const names = Array.from({ length: Math.max(2, availableParallelism()) }, (_, i) => `racer-${i}`);
    const workers = await Promise.all(
      names.map((name) => start<{ finds: number; selfs: number }>(machine, c, 'find-race', name)),
    );
    await new Promise((resolve) => setTimeout(resolve, RACE_MS));
    atomicStore(machine.mem, machine.root('stop', 16), 1);
    for (const { result } of workers) expect((await result).finds).toBeGreaterThan(0);
    expect(c.fences.filter((f) => f.signaledFlag()).length).toBeGreaterThan(0);
    expect(c.fences.at(-1)!.signaledFlag()).toBe(false);
  });

  it('signal_forward', () => {
    using machine = testMachine();
    using c = new Chains(machine, 64, inc);
    for (let i = 0; i < 64; i++) {
      c.fences[i]!.signalUnowned();
      expect(c.chains[i]!.isSignaled()).toBe(true);
      if (i < 63) expect(c.chains[i + 1]!.isSignaled()).toBe(false);
    }
  });

  it('signal_backward', () => {
    using machine = testMachine();
    using c = new Chains(machine, 64, inc);
    for (let i = 63; i >= 0; i--) {
      c.fences[i]!.signalUnowned();
      if (i > 0) expect(c.chains[i]!.isSignaled()).toBe(false);
    }
    expect(c.chains.map((chain) => chain.isSignaled())).not.toContain(false);
  });

  it('wait_forward', async () => {
    expect(await waitCase((fences) => fences)).toBeGreaterThan(0);
  });

  it('wait_backward', async () => {
    expect(await waitCase((fences) => fences.toReversed(), BACKWARD_SZ)).toBeGreaterThan(0);
  });

  it('wait_random', async () => {
    const left = await waitCase((fences, random) => {
      for (let i = fences.length - 1; i > 0; i--) {
        const j = random.below(i + 1);
        [fences[i], fences[j]] = [fences[j]!, fences[i]!];
      }
      return fences;
    });
    expect(left).toBeGreaterThan(0);
  });
});
