import {
  defineFenceOps,
  Fence,
  FenceArray,
  FenceChain,
  fenceChainAlloc,
  fenceChainFindSeqno,
  fenceChainFree,
  fenceChainInit,
  fenceChainWalk,
  fenceContextAlloc,
  fenceUnwrap,
} from '@dmabuf-emu/core';
import { mockFence, mockOps } from '#dist/fence/mock-fence.test-worker.js';
import { ERRNO, Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';

function mocks(machine: Machine, count: number): Fence[] {
  return Array.from({ length: count }, () => mockFence(machine, fenceContextAlloc(machine), 1));
}

/** A chain over fences that the test holds too, with points 1, 2 and so on; each node holds the one before. */
function chainOver(fences: readonly Fence[]): FenceChain {
  let head: FenceChain | undefined;
  for (const [i, fence] of fences.entries()) head = FenceChain.create(head, fence.get(), i + 1);
  return head!;
}

function put(...fences: readonly Fence[]): void {
  for (const fence of fences) fence.put();
}

/** core §3.15 */
describe('fence chains', () => {
  it('end with the last of all their points, wait for one at a time, newest first', () => {
    using machine = testMachine();
    const fences = mocks(machine, 3);
    const head = chainOver(fences);
    head.fence.enableSignaling();
    expect(fences.map((f) => f.refCount)).toEqual([2, 2, 3]);
    fences[2]!.signalUnowned();
    expect(fences.map((f) => f.refCount)).toEqual([2, 3, 2]);
    fences[0]!.signalUnowned();
    expect(head.fence.signaledFlag()).toBe(false);
    fences[1]!.signalUnowned();
    expect(head.fence.signaledFlag()).toBe(true);
    put(head.fence, ...fences);
  });

  it('end at once when all points have passed', () => {
    using machine = testMachine();
    const fences = mocks(machine, 3);
    const head = chainOver(fences);
    for (const fence of fences) fence.signalUnowned();
    expect(head.fence.signaledFlag()).toBe(false);
    head.fence.enableSignaling();
    expect(head.fence.signaledFlag()).toBe(true);
    put(head.fence, ...fences);
  });

  it('do not take errors from their points', () => {
    using machine = testMachine();
    const fences = mocks(machine, 2);
    const head = chainOver(fences);
    head.fence.enableSignaling();
    fences[1]!.setError('EIO');
    for (const fence of fences) fence.signalUnowned();
    expect([fences[1]!.status(), head.fence.status()]).toEqual([-ERRNO.EIO, 1]);
    put(head.fence, ...fences);
  });

  it('end after the callbacks of the fence that was the last', () => {
    using machine = testMachine();
    const [f] = mocks(machine, 1) as [Fence];
    const head = chainOver([f]);
    const log: string[] = [];
    head.fence.addCallback(() => log.push('chain'));
    f.addCallback(() => log.push('fence'));
    f.signalUnowned();
    expect(log).toEqual(['fence', 'chain']);
    put(head.fence, f);
  });

  it('go on in a context while seqnos grow, and start another when they do not', () => {
    using machine = testMachine();
    const fences = mocks(machine, 4);
    const nodes: FenceChain[] = [];
    for (const [i, seqno] of [5, 2 ** 40, 7, 2 ** 40 + 1].entries()) {
      nodes.push(FenceChain.create(nodes.at(-1)?.fence.get(), fences[i]!.get(), seqno));
    }
    expect(nodes.map((n) => n.seqno)).toEqual([5, 2 ** 40, 2 ** 40, 2 ** 40 + 1]);
    expect(nodes.map((n) => n.prevSeqno)).toEqual([0, 5, 0, 2 ** 40]);
    const [a, b, c, d] = nodes.map((n) => n.fence.context);
    expect([a === b, b === c, c === d]).toEqual([true, false, true]);
    expect(nodes.every((n) => n.fence.seqno64)).toBe(true);
    put(...nodes.map((n) => n.fence), ...fences);
  });

  it('start behind a plain fence with a context of their own', () => {
    using machine = testMachine();
    const [first, f] = mocks(machine, 2) as [Fence, Fence];
    const head = FenceChain.create(first.get(), f.get(), 1);
    expect([head.prevSeqno, head.fence.context === first.context]).toEqual([0, false]);
    head.fence.enableSignaling();
    f.signalUnowned();
    expect(head.fence.isSignaled()).toBe(false);
    first.signalUnowned();
    expect(head.fence.signaledFlag()).toBe(true);
    put(head.fence, first, f);
  });

  it('drop what has ended while they are walked', () => {
    using machine = testMachine();
    const fences = mocks(machine, 5);
    const head = chainOver(fences);
    for (const i of [1, 2, 3]) fences[i]!.signalUnowned();
    const points = Array.from(head.walk(), (node) => node.seqno);
    expect(points).toEqual([5, 1]);
    expect(fences.map((f) => f.refCount)).toEqual([2, 1, 1, 1, 2]);
    fences[0]!.signalUnowned();
    expect(fenceChainWalk(machine, head.fence.get().ref)).toBe(0);
    expect(fences[0]!.refCount).toBe(1);
    put(head.fence, ...fences);
  });

  it('drop a plain fence at their end likewise', () => {
    using machine = testMachine();
    const [first, f] = mocks(machine, 2) as [Fence, Fence];
    const head = FenceChain.create(first.get(), f.get(), 1);
    expect(Array.from(head.walk(), (node) => node.ref)).toEqual([head.fence.ref, first.ref]);
    first.signalUnowned();
    expect(Array.from(head.walk(), (node) => node.ref)).toEqual([head.fence.ref]);
    expect(first.refCount).toBe(1);
    expect(fenceChainWalk(machine, first.get().ref)).toBe(0);
    put(head.fence, first, f);
  });

  it('can be left in the middle of a walk', () => {
    using machine = testMachine();
    const fences = mocks(machine, 3);
    const head = chainOver(fences);
    for (const node of head.walk()) if (node.seqno === 2) break;
    expect(head.fence.refCount).toBe(1);
    put(head.fence, ...fences);
  });

  it('find no point that they do not reach, and leave the reference alone then', () => {
    using machine = testMachine();
    const fences = mocks(machine, 2);
    const head = chainOver(fences);
    expect(() => FenceChain.findSeqno(head.fence, 3)).toThrow(/EINVAL.*does not reach point 3/);
    expect(() => FenceChain.findSeqno(fences[0]!, 1)).toThrow(/EINVAL/);
    expect(() => fenceChainFindSeqno(machine, 0, 1)).toThrow(/EINVAL/);
    expect(fenceChainFindSeqno(machine, 0, 0)).toBe(0);
    expect([head.fence.refCount, fences[0]!.refCount]).toEqual([1, 2]);
    put(head.fence, ...fences);
  });

  it('find the fence that a timeline started with for its points that are gone', () => {
    using machine = testMachine();
    const [first, f] = mocks(machine, 2) as [Fence, Fence];
    const head = FenceChain.create(first.get(), f.get(), 4);
    const found = FenceChain.findSeqno(head.fence.get(), 4)!;
    expect(found.ref).toBe(head.fence.ref);
    found.put();
    const old = FenceChain.create(head.fence, mocks(machine, 1)[0]!, 2);
    expect(old.fence.context).not.toBe(head.fence.context);
    put(old.fence, first, f);
  });

  it('are released without a call for each node', () => {
    using machine = testMachine();
    const f = mockFence(machine);
    let head: FenceChain | undefined;
    for (let seqno = 1; seqno <= 20_000; seqno++) head = FenceChain.create(head, f.get(), seqno);
    expect(f.refCount).toBe(20_001);
    head!.fence.put();
    expect(f.refCount).toBe(1);
    f.put();
  });

  it('keep what others hold when their head is released', () => {
    using machine = testMachine();
    const fences = mocks(machine, 3);
    const middle = chainOver(fences.slice(0, 2));
    const head = FenceChain.create(middle.fence.get(), fences[2]!.get(), 3);
    head.fence.put();
    expect(fences.map((f) => f.refCount)).toEqual([2, 2, 1]);
    expect(Array.from(middle.walk(), (node) => node.seqno)).toEqual([2, 1]);
    put(middle.fence, ...fences);
  });

  it('live on while somebody waits, without other references', () => {
    using machine = testMachine();
    const fences = mocks(machine, 2);
    const head = chainOver(fences);
    let ended = false;
    head.fence.addCallback(() => (ended = true));
    head.fence.put();
    expect(head.fence.refCount).toBe(1);
    for (const fence of fences) fence.signalUnowned();
    expect(ended).toBe(true);
    expect(Fence.tryGet(machine, head.fence.ref)).toBeUndefined();
    put(...fences);
  });

  it('are unwrapped node by node, arrays in them member by member, up to an empty one', () => {
    using machine = testMachine();
    const fences = mocks(machine, 4);
    const [a, b, c, d] = fences as [Fence, Fence, Fence, Fence];
    const low = FenceChain.create(undefined, a.get(), 1);
    const { fence: pair } = FenceArray.create(machine, [b.get(), c.get()]);
    const mid = FenceChain.create(low, pair, 2);
    machine.diag.expect('warn', 'fence-array');
    const hole = FenceChain.create(mid.fence.get(), FenceArray.create(machine, []).fence, 3);
    const head = FenceChain.create(hole, d.get(), 4);
    const leaves = (fence: Fence) => Array.from(fenceUnwrap(machine, fence.ref), (leaf) => leaf.ref);
    expect(leaves(mid.fence)).toEqual([b, c, a].map((f) => f.ref));
    expect(leaves(head.fence)).toEqual([d.ref]);
    expect([head.fence.refCount, mid.fence.refCount]).toEqual([1, 2]);
    put(head.fence, mid.fence, ...fences);
  });

  it('warn of a point that is a chain itself, and end with it all the same', () => {
    using machine = testMachine();
    const fences = mocks(machine, 2);
    machine.diag.expect('warn', 'fence-chain');
    const outer = FenceChain.create(undefined, chainOver(fences).fence, 1);
    outer.fence.enableSignaling();
    for (const fence of fences) fence.signalUnowned();
    expect(outer.fence.signaledFlag()).toBe(true);
    put(outer.fence, ...fences);
  });

  it('can be allocated beforehand, and freed unused', () => {
    using machine = testMachine();
    const [f] = mocks(machine, 1) as [Fence];
    const [used, unused] = [fenceChainAlloc(machine), fenceChainAlloc(machine)];
    expect(Fence.tryGet(machine, used)).toBeUndefined();
    fenceChainInit(machine, used, 0, f.get().ref, 9);
    expect(Fence.of(machine, used).seqno).toBe(9);
    fenceChainFree(machine, unused);
    put(Fence.of(machine, used), f);
  });

  it('are missed by the check when they are never initialised', () => {
    using machine = testMachine();
    const node = fenceChainAlloc(machine);
    expect(machine.verify().leaks).toEqual([expect.stringMatching(/dma_fence_chain_alloc by task 1/)]);
    fenceChainFree(machine, node);
  });

  it('consume nothing when memory is short, at whatever allocation', () => {
    using machine = testMachine();
    const [prev, f] = mocks(machine, 2) as [Fence, Fence];
    for (let n = 1; n <= 3; n++) {
      machine.faults.failNth(n);
      expect(() => FenceChain.create(prev, f, 1)).toThrow(/ENOMEM, dma_fence_chain_alloc/);
      expect([prev.refCount, f.refCount]).toEqual([1, 1]);
    }
    put(prev, f);
  });
});

it('walking leaves nothing behind when the driver of a point is not registered in the thread', () => {
  using machine = testMachine();
  const far = defineFenceOps({ ...mockOps, name: 'far', signaled: () => false });
  const fences = [mockFence(machine, 1, 1, far), mockFence(machine, 2, 1)];
  const head = chainOver(fences);
  const other = Machine.join(machine.handle, { name: 'other' });
  const calls = [
    () => fenceChainFindSeqno(other, head.fence.ref, 1),
    () => Fence.of(other, head.fence.ref).isSignaled(),
    () => [...fenceUnwrap(other, head.fence.ref)],
    () => [...FenceChain.of(Fence.of(other, head.fence.ref))!.walk()],
  ];
  fences[1]!.signalUnowned();
  for (const call of calls) expect(call).toThrow(/fence driver 'far' is not registered in thread 'other'/);
  expect(head.fence.refCount).toBe(1);
  other.leave();
  put(head.fence, ...fences);
  expect(Fence.tryGet(machine, head.fence.ref)).toBeUndefined();
});
