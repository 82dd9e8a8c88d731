import {
  Fence,
  FenceArray,
  FenceChain,
  fenceContextAlloc,
  fenceUnwrap,
  installFences,
  mergeFences,
} from '@dmabuf-emu/core';
import { mockFence } from '#dist/fence/mock-fence.test-worker.js';
import { Machine, setSyncHook, TaskKilled } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';

/** Fences of fences whose parts end in the order of `order`. */
interface Case {
  readonly outer: Fence;
  readonly parts: readonly Fence[];
}

const order = [1, 2, 0];
const SMALL = { arenaBytes: 8 << 20, memoryBytes: 0 };

function array(machine: Machine, any: boolean): Case {
  const parts = [0, 1, 2].map(() => mockFence(machine, fenceContextAlloc(machine), 1));
  const members = parts.map((f) => f.get());
  return { parts, outer: FenceArray.create(machine, members, { signalOnAny: any }).fence };
}

function chain(machine: Machine): Case {
  const parts = [0, 1, 2].map(() => mockFence(machine, fenceContextAlloc(machine), 1));
  let head: FenceChain | undefined;
  for (const [i, f] of parts.entries()) head = FenceChain.create(head, f.get(), i + 1);
  return { parts, outer: head!.fence };
}

/** Runs `fn` and kills the task at its `n`-th point; tells whether it came that far. */
function killedAt(n: number, tid: number, fn: () => void): boolean {
  let left = n;
  setSyncHook((label) => {
    if (--left === 0) throw new TaskKilled(tid, label);
  });
  try {
    fn();
    return false;
  } catch (error) {
    if (!(error instanceof TaskKilled)) throw error;
    return true;
  } finally {
    setSyncHook(null);
  }
}

describe('a task that dies anywhere while it arms and ends', () => {
  it.each([
    ['an array of all', (machine: Machine) => array(machine, false), 3],
    ['an array of any', (machine: Machine) => array(machine, true), 1],
    ['a chain', chain, 3],
  ] as const)('%s leaves nobody waiting', (_, make, needed) => {
    let deaths = 0;
    for (let n = 1; ; n++) {
      using machine = testMachine(SMALL);
      const { outer, parts } = make(machine);
      const other = Machine.join(machine.handle, { name: 'other' });
      installFences(other);
      const died = killedAt(n, other.tid, () => {
        Fence.of(other, outer.ref).enableSignaling();
        for (const i of order) Fence.of(other, parts[i]!.ref).signalUnowned();
      });
      if (died) machine.reap(other.tid);
      else other.leave();
      outer.enableSignaling();
      for (const [ended, i] of order.entries()) {
        const before = parts.filter((f) => f.signaledFlag()).length;
        expect(outer.signaledFlag(), `point ${n}, ${ended} signalled here`).toBe(before >= needed);
        parts[i]!.signalUnowned();
      }
      expect(outer.signaledFlag(), `point ${n}`).toBe(true);
      for (const fence of [outer, ...parts]) fence.put();
      const report = machine.verify();
      expect([report.errors, report.leaks], `point ${n}`).toEqual([[], []]);
      if (!died) break;
      deaths++;
    }
    expect(deaths).toBeGreaterThan(20);
  });
});

it('a task that dies anywhere while it makes, walks, merges and drops them does no harm', () => {
  let deaths = 0;
  for (let n = 1; ; n++) {
    using machine = testMachine(SMALL);
    const parts = [0, 1, 2].map(() => mockFence(machine, fenceContextAlloc(machine), 1));
    const other = Machine.join(machine.handle, { name: 'other' });
    installFences(other);
    const died = killedAt(n, other.tid, () => {
      const [a, b, c] = parts.map((f) => Fence.of(other, f.ref)) as [Fence, Fence, Fence];
      const pair = FenceArray.create(other, [a.get(), b.get()]).fence;
      const head = FenceChain.create(FenceChain.create(undefined, pair, 1), c.get(), 2).fence;
      const merged = mergeFences(other, [head, a]);
      Array.from(fenceUnwrap(other, head.ref));
      FenceChain.findSeqno(head.get(), 1)?.put();
      for (const fence of [merged, head]) fence.put();
    });
    if (died) machine.reap(other.tid);
    else other.leave();
    for (const f of parts) {
      f.signalUnowned();
      f.put();
    }
    const report = machine.verify();
    expect([report.errors, report.leaks], `point ${n}`).toEqual([[], []]);
    if (!died) break;
    deaths++;
  }
  expect(deaths).toBeGreaterThan(50);
}, 60_000);
