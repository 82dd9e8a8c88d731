import {
  Fence,
  FenceArray,
  FenceChain,
  fenceContextAlloc,
  fenceUnwrap,
  fenceUnwrapMerge,
  mergeFences,
} from '@dmabuf-emu/core';
import { mockFence } from '#dist/fence/mock-fence.test-worker.js';
import type { Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';

/** An armed fence of a timeline of its own, or of `context`. */
function mock(machine: Machine, context = fenceContextAlloc(machine), seqno = 1): Fence {
  const fence = mockFence(machine, context, seqno);
  fence.enableSignaling();
  return fence;
}

/** An array of fences, which keep the references that the test has. */
function array(machine: Machine, ...fences: Fence[]): Fence {
  return FenceArray.create(
    machine,
    fences.map((f) => f.get()),
  ).fence;
}

/** A node of a chain over fences that keep the references that the test has. */
function chain(prev: Fence | undefined, fence: Fence): Fence {
  return FenceChain.create(prev?.get(), fence.get(), 1).fence;
}

/** The refs that a fence consists of, in the order of the iteration. */
function leaves(machine: Machine, fence: Fence): number[] {
  return Array.from(fenceUnwrap(machine, fence.ref), (leaf) => leaf.ref);
}

function refs(...fences: Fence[]): number[] {
  return fences.map((f) => f.ref);
}

function put(...fences: Fence[]): void {
  for (const fence of fences) fence.put();
}

/** drivers/dma-buf/st-dma-fence-unwrap.c, core §7.3. */
describe('st-dma-fence-unwrap', () => {
  it('sanitycheck', () => {
    using machine = testMachine();
    const f = mock(machine);
    const a = FenceArray.create(machine, [f]).fence;
    const c = FenceChain.create(undefined, a, 1).fence;
    c.put();
    expect([f, a, c].map((fence) => Fence.tryGet(machine, fence.ref))).toEqual([undefined, undefined, undefined]);
  });

  it('unwrap_array', () => {
    using machine = testMachine();
    const [f1, f2] = [mock(machine), mock(machine)];
    const a = array(machine, f1, f2);
    expect(leaves(machine, a)).toEqual(refs(f1, f2));
    put(a, f1, f2);
  });

  it('unwrap_chain', () => {
    using machine = testMachine();
    const [f1, f2] = [mock(machine), mock(machine)];
    const c = chain(f1, f2);
    expect(leaves(machine, c)).toEqual(refs(f2, f1));
    put(c, f1, f2);
  });

  it('unwrap_chain_array', () => {
    using machine = testMachine();
    const [f1, f2] = [mock(machine), mock(machine)];
    const a = array(machine, f1, f2);
    const c = chain(undefined, a);
    expect(leaves(machine, c)).toEqual(refs(f1, f2));
    put(c, a, f1, f2);
  });

  it('unwrap_merge', () => {
    using machine = testMachine();
    const [f1, f2] = [mock(machine), mock(machine)];
    const f3 = mergeFences(machine, [f1, f2]);
    expect(leaves(machine, f3)).toEqual(refs(f1, f2));
    put(f3, f1, f2);
  });

  it('unwrap_merge_duplicate', () => {
    using machine = testMachine();
    const f1 = mock(machine);
    const f2 = mergeFences(machine, [f1, f1]);
    expect(f2.ref).toBe(f1.ref);
    expect(leaves(machine, f2)).toEqual([f1.ref]);
    put(f2, f1);
  });

  it('unwrap_merge_seqno', () => {
    using machine = testMachine();
    const c0 = fenceContextAlloc(machine, 2);
    const f1 = mock(machine, c0 + 1, 1);
    const f2 = mock(machine, c0 + 1, 2);
    const f3 = mock(machine, c0, 1);
    const f4 = mergeFences(machine, [f1, f2, f3]);
    expect(leaves(machine, f4)).toEqual(refs(f3, f2));
    put(f4, f1, f2, f3);
  });

  it('unwrap_merge_order', () => {
    using machine = testMachine();
    const [f1, f2] = [mock(machine), mock(machine)];
    const a1 = array(machine, f1, f2);
    const c1 = chain(undefined, f1);
    const c2 = chain(c1, f2);
    const merged = mergeFences(machine, [a1, c2]);
    expect(leaves(machine, merged)).toEqual(refs(f1, f2));
    put(merged, c2, c1, a1, f1, f2);
  });

  it('unwrap_merge_complex', () => {
    using machine = testMachine();
    const [f1, f2] = [mock(machine), mock(machine)];
    const f3 = mergeFences(machine, [f1, f2]);
    const f4 = array(machine, f2, f1);
    const stub = Fence.stub(machine);
    const f5 = Fence.of(machine, fenceUnwrapMerge(machine, refs(f3, f4, stub)));
    expect(leaves(machine, f5)).toEqual(refs(f1, f2));
    put(f5, stub, f4, f3, f1, f2);
  });

  it('unwrap_merge_complex_seqno', () => {
    using machine = testMachine();
    const c0 = fenceContextAlloc(machine, 2);
    const f1 = mock(machine, c0, 2);
    const f2 = mock(machine, c0 + 1, 1);
    const f3 = mock(machine, c0, 1);
    const f4 = mock(machine, c0 + 1, 2);
    const f5 = array(machine, f1, f2);
    const f6 = array(machine, f3, f4);
    const f7 = mergeFences(machine, [f5, f6]);
    expect(leaves(machine, f7)).toEqual(refs(f1, f4));
    put(f7, f6, f5, f4, f3, f2, f1);
  });
});
