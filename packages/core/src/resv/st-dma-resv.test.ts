import { defineFenceOps, Resv, ResvUsage } from '@dmabuf-emu/core';
import { mockFence } from '#dist/fence/mock-fence.test-worker.js';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';

const ops = defineFenceOps({ name: 'selftest', getDriverName: () => 'selftest', getTimelineName: () => 'selftest' });
const usages = [
  ['kernel', ResvUsage.KERNEL],
  ['write', ResvUsage.WRITE],
  ['read', ResvUsage.READ],
  ['bookkeep', ResvUsage.BOOKKEEP],
] as const;

/** A machine with an armed fence in a reservation object, which is locked. */
function setUp(usage: ResvUsage) {
  const machine = testMachine();
  const fence = mockFence(machine, 0, 0, ops);
  fence.enableSignaling();
  const resv = Resv.create(machine);
  resv.lock();
  resv.reserveFences(1);
  resv.addFence(fence, usage);
  return {
    machine,
    fence,
    resv,
    [Symbol.dispose](): void {
      if (resv.heldByMe) resv.unlock();
      fence.signalUnowned();
      fence.put();
      resv.destroy();
      machine[Symbol.dispose]();
    },
  };
}

/** drivers/dma-buf/st-dma-resv.c, spec §7.4. */
describe('st-dma-resv', () => {
  it('sanitycheck', () => {
    using machine = testMachine();
    const fence = mockFence(machine, 0, 0, ops);
    fence.enableSignaling();
    fence.signalUnowned();
    fence.put();
    const resv = Resv.create(machine);
    resv.lock();
    expect(resv.isLocked).toBe(true);
    resv.unlock();
    resv.destroy();
  });

  describe.each(usages)('%s', (_, usage) => {
    it('test_signaling', () => {
      using s = setUp(usage);
      expect(s.resv.testSignaled(usage)).toBe(false);
      s.fence.signalUnowned();
      expect(s.resv.testSignaled(usage)).toBe(true);
    });

    it('test_for_each', () => {
      using s = setUp(usage);
      const visited: [number, ResvUsage][] = [];
      s.resv.forEach(usage, (fence, own) => visited.push([fence.ref, own]));
      expect(visited).toEqual([[s.fence.ref, usage]]);
    });

    it('test_for_each_unlocked', () => {
      using s = setUp(usage);
      s.resv.unlock();
      const cursor = s.resv.unlocked(usage);
      const visited: unknown[] = [];
      for (const fence of cursor) {
        visited.push([fence.ref, cursor.usage, cursor.isRestarted]);
        if (visited.length === 1) cursor.forceRestart();
      }
      const once = [s.fence.ref, usage, true];
      expect(visited).toEqual([once, once]);
    });

    it('test_get_fences', () => {
      using s = setUp(usage);
      s.resv.unlock();
      const fences = s.resv.getFences(usage);
      expect(fences.map((f) => f.ref)).toEqual([s.fence.ref]);
      for (const fence of fences) fence.put();
    });
  });
});
