import { Fence, FenceArray, fenceContextAlloc, fenceUnwrap, Resv, ResvUsage } from '@dmabuf-emu/core';
import { mockFence } from '#dist/fence/mock-fence.test-worker.js';
import type { Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';

const { KERNEL, WRITE, READ, BOOKKEEP } = ResvUsage;

/** A reservation object with a fence of each of these classes, which the test holds too. */
function filled(machine: Machine, ...usages: readonly ResvUsage[]): { resv: Resv; fences: Fence[] } {
  const resv = Resv.create(machine);
  const fences = usages.map(() => mockFence(machine, fenceContextAlloc(machine), 1));
  resv.with(() => {
    resv.reserveFences(Math.max(1, usages.length));
    for (const [i, fence] of fences.entries()) resv.addFence(fence, usages[i]!);
  });
  return { resv, fences };
}

function end({ resv, fences }: { resv: Resv; fences: readonly Fence[] }): void {
  resv.destroy();
  for (const fence of fences) fence.put();
}

/** core §2.6 */
describe('the locked walk', () => {
  it('shows signalled fences too, each with its class, and is restarted at its first only', () => {
    using machine = testMachine();
    const all = filled(machine, READ, KERNEL, BOOKKEEP, WRITE);
    all.fences[1]!.signalUnowned();
    all.resv.with(() => {
      const cursor = all.resv.locked(READ);
      const seen = Array.from(cursor, (fence) => [fence.ref, cursor.usage, cursor.isRestarted]);
      expect(seen).toEqual([
        [all.fences[0]!.ref, READ, true],
        [all.fences[1]!.ref, KERNEL, false],
        [all.fences[3]!.ref, WRITE, false],
      ]);
      expect([cursor.next(), cursor.first()]).toEqual([0, all.fences[0]!.ref]);
      expect(all.fences.map((f) => f.refCount)).toEqual([2, 2, 2, 2]);
    });
    end(all);
  });

  it('shows nothing of an object that never had a fence', () => {
    using machine = testMachine();
    const resv = Resv.create(machine);
    expect(resv.with(() => [...resv.locked(BOOKKEEP)])).toEqual([]);
    resv.destroy();
  });

  it('needs the lock for each step: a lockdep report, and EINVAL', () => {
    using machine = testMachine();
    machine.diag.expect('lockdep', 'not-held');
    const all = filled(machine, READ, READ);
    const cursor = all.resv.locked(READ);
    expect(() => cursor.first()).toThrow(/EINVAL, dma_resv_iter_first/);
    all.resv.with(() => cursor.first());
    expect(() => cursor.next()).toThrow(/EINVAL, dma_resv_iter_next/);
    expect(machine.diag.count('lockdep')).toBe(2);
    end(all);
  });
});

/** core §2.7 */
describe('dma_resv_get_singleton', () => {
  it('gives nothing, the one fence, or an array of several', () => {
    using machine = testMachine();
    const all = filled(machine, KERNEL, WRITE, READ);
    const [k, w, r] = all.fences as [Fence, Fence, Fence];
    expect(all.resv.getSingleton(KERNEL)!.ref).toBe(k.ref);
    k.put();
    const array = all.resv.getSingleton(READ)!;
    expect(Array.from(fenceUnwrap(machine, array.ref), (f) => f.ref)).toEqual([k.ref, w.ref, r.ref]);
    expect([array.seqno, FenceArray.of(array) !== undefined]).toEqual([1, true]);
    expect(all.fences.map((f) => f.context)).not.toContain(array.context);
    array.put();
    w.signalUnowned();
    const pair = all.resv.getSingleton(READ)!;
    expect(Array.from(fenceUnwrap(machine, pair.ref), (f) => f.ref)).toEqual([k.ref, r.ref]);
    pair.enableSignaling();
    k.signalUnowned();
    expect(pair.isSignaled()).toBe(false);
    r.signalUnowned();
    expect(pair.signaledFlag()).toBe(true);
    pair.put();
    expect(all.resv.getSingleton(BOOKKEEP)).toBeUndefined();
    end(all);
  });

  it('fails with ENOMEM at any of its allocations and leaves nothing behind', () => {
    using machine = testMachine();
    const all = filled(machine, READ, READ);
    let failures = 0;
    for (let n = 1; ; n++) {
      machine.faults.failNth(n);
      try {
        all.resv.getSingleton(READ)!.put();
        break;
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENOMEM' });
        expect(all.fences.map((f) => f.refCount)).toEqual([2, 2]);
        failures++;
      }
    }
    machine.faults.off();
    expect(failures).toBe(6);
    end(all);
  });
});
