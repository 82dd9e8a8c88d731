import { Fence, Resv, ResvUsage, resvUsageRw } from '@dmabuf-emu/core';
import { mockFence, mockOps } from '#dist/fence/mock-fence.test-worker.js';
import { defineFenceOps } from '@dmabuf-emu/core';
import { INDEX_MASK, type Machine, setSyncHook, WwAcquireCtx } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it, vi } from 'vitest';

const { KERNEL, WRITE, READ, BOOKKEEP } = ResvUsage;

/** A reservation object with a fence of each class, of contexts 1 to 4; unlocked. The list holds the only references. */
function filled(machine: Machine): { resv: Resv; fences: Fence[] } {
  const resv = Resv.create(machine);
  const fences = [KERNEL, WRITE, READ, BOOKKEEP].map((usage) => {
    const fence = mockFence(machine, usage + 1, 1);
    resv.with(() => {
      resv.reserveFences(1);
      resv.addFence(fence, usage);
    });
    fence.put();
    return fence;
  });
  return { resv, fences };
}

describe('usage classes', () => {
  it('include all stronger ones', () => {
    using machine = testMachine();
    const { resv } = filled(machine);
    const contexts = [KERNEL, WRITE, READ, BOOKKEEP].map((usage) => {
      const got = resv.getFences(usage);
      for (const f of got) f.put();
      return got.map((f) => f.context);
    });
    expect(contexts).toEqual([[1], [1, 2], [1, 2, 3], [1, 2, 3, 4]]);
    resv.destroy();
  });

  it('are queried crosswise: writers wait for readers', () => {
    expect([resvUsageRw(true), resvUsageRw(false)]).toEqual([READ, WRITE]);
  });
});

describe('the lock', () => {
  it('is asserted by what needs it: a lockdep report, and EINVAL', () => {
    using machine = testMachine();
    machine.diag.expect('lockdep', 'not-held');
    const { resv, fences } = filled(machine);
    const calls = [
      () => resv.reserveFences(1),
      () => resv.addFence(fences[0]!, READ),
      () => resv.replaceFences(1, fences[0]!, READ),
      () => resv.copyFences(resv),
      () => resv.forEach(READ, () => {}),
      () => resv.describe(),
    ];
    for (const call of calls) expect(call).toThrow(/EINVAL, dma_resv_\w+: the reservation object is not locked/);
    expect(machine.diag.count('lockdep')).toBe(calls.length);
    expect(resv.assertHeld('test')).toBe(false);
    resv.destroy();
  });

  it('can be tried, and asked for', () => {
    using machine = testMachine();
    const resv = Resv.create(machine);
    expect([resv.isLocked, resv.tryLock(), resv.isLocked, resv.heldByMe, resv.lockingCtx]).toEqual([
      false,
      true,
      true,
      true,
      0,
    ]);
    expect(resv.tryLock()).toBe(false);
    expect(resv.assertHeld('test')).toBe(true);
    resv.unlock();
    const ctx = WwAcquireCtx.init(machine);
    resv.lock(ctx);
    expect(resv.lockingCtx).toBe(ctx.p);
    expect(() => resv.lock(ctx)).toThrow(/EALREADY/);
    resv.unlock();
    ctx.fini();
    resv.destroy();
  });

  it('is dropped when the function throws', () => {
    using machine = testMachine();
    const resv = Resv.create(machine);
    expect(() =>
      resv.with(() => {
        throw new Error('inside');
      }),
    ).toThrow('inside');
    expect(resv.isLocked).toBe(false);
    resv.destroy();
  });

  it('must be free when the object ends', () => {
    using machine = testMachine();
    machine.diag.expect('lockdep', 'destroy-locked');
    const resv = Resv.create(machine);
    resv.lock();
    resv.destroy();
    expect(machine.diag.count('lockdep')).toBe(1);
  });
});

describe('dma_resv_for_each_fence', () => {
  it('visits signalled fences too, the unlocked walk does not', () => {
    using machine = testMachine();
    const { resv, fences } = filled(machine);
    fences[1]!.signalUnowned();
    const locked: number[] = [];
    resv.with(() => resv.forEach(BOOKKEEP, (fence) => locked.push(fence.context)));
    const unlocked = [...resv.unlocked(BOOKKEEP)].map((fence) => fence.ref);
    expect([locked, unlocked]).toEqual([[1, 2, 3, 4], [fences[0], fences[2], fences[3]].map((f) => f!.ref)]);
    resv.destroy();
  });

  it('visits nothing where nothing was ever reserved', () => {
    using machine = testMachine();
    const resv = Resv.create(machine);
    expect(resv.with(() => resv.describe())).toBe('');
    expect([...resv.unlocked(BOOKKEEP)]).toEqual([]);
    expect([resv.testSignaled(BOOKKEEP), resv.wait(BOOKKEEP), resv.getFences(BOOKKEEP)]).toEqual([
      true,
      Number.POSITIVE_INFINITY,
      [],
    ]);
    resv.destroy();
  });
});

describe('the unlocked walk', () => {
  it('holds a reference on the current fence only, whatever way it ends', () => {
    using machine = testMachine();
    const { resv, fences } = filled(machine);
    for (const fence of resv.unlocked(BOOKKEEP)) {
      expect(fences.map((f) => f.refCount)).toEqual(fences.map((f) => (f.ref === fence.ref ? 2 : 1)));
      if (fence.context === 2) break;
    }
    expect(() => {
      for (const _ of resv.unlocked(BOOKKEEP)) throw new Error('early');
    }).toThrow('early');
    const cursor = resv.unlocked(BOOKKEEP);
    cursor.first();
    cursor.next();
    cursor.end();
    expect(fences.map((f) => f.refCount)).toEqual([1, 1, 1, 1]);
    resv.destroy();
  });

  it.each([true, false])(
    'starts again when the list is replaced, and says so (freed memory poisoned: %s)',
    (debugObjects) => {
      using machine = testMachine({ debugObjects });
      const { resv, fences } = filled(machine);
      const seen: [number, boolean][] = [];
      const cursor = resv.unlocked(READ);
      for (const fence of cursor) {
        seen.push([fence.context, cursor.isRestarted]);
        if (seen.length !== 2) continue;
        fences[0]!.signalUnowned();
        resv.with(() => resv.reserveFences(30));
      }
      expect(seen).toEqual([
        [1, true],
        [2, false],
        [2, true],
        [3, false],
      ]);
      resv.destroy();
    },
  );

  it('ends when the list vanishes', () => {
    using machine = testMachine();
    const { resv } = filled(machine);
    const empty = Resv.create(machine);
    let visits = 0;
    for (const _ of resv.unlocked(BOOKKEEP)) {
      visits++;
      resv.with(() => resv.copyFences(empty));
    }
    expect(visits).toBe(1);
    empty.destroy();
    resv.destroy();
  });

  it('does not see what is appended behind its snapshot, but what is replaced in it', () => {
    using machine = testMachine();
    const { resv } = filled(machine);
    const [appended, replacing] = [mockFence(machine, 9, 1), mockFence(machine, 4, 2)];
    resv.lock();
    resv.reserveFences(2);
    const seen: [number, number][] = [];
    for (const fence of resv.unlocked(BOOKKEEP)) {
      if (seen.length === 0) {
        resv.addFence(appended, READ);
        resv.addFence(replacing, READ);
      }
      seen.push([fence.context, fence.seqno]);
    }
    resv.unlock();
    expect(seen).toEqual([
      [1, 1],
      [2, 1],
      [3, 1],
      [4, 2],
    ]);
    appended.put();
    replacing.put();
    resv.destroy();
  });

  it('never takes a fence that got the memory of the one it was about to take', () => {
    using machine = testMachine();
    const { resv, fences } = filled(machine);
    const [later, strangers] = [mockFence(machine, 1, 2), [] as Fence[]];
    const former = setSyncHook((label) => {
      if (label !== 'resv.read') return;
      setSyncHook(former);
      resv.addFence(later, KERNEL);
      strangers.push(mockFence(machine, 77, 1));
    });
    resv.lock();
    const seen = [...resv.unlocked(KERNEL)].map((fence) => fence.ref);
    resv.unlock();
    expect(strangers[0]!.ref & INDEX_MASK).toBe(fences[0]!.ref & INDEX_MASK);
    expect(seen).toEqual([later.ref]);
    for (const fence of [later, ...strangers]) fence.put();
    resv.destroy();
  });

  it('polls fences of classes that it does not visit', () => {
    using machine = testMachine();
    const signaled = vi.fn<(fence: Fence) => boolean>(() => true);
    const fence = mockFence(machine, 1, 1, defineFenceOps({ ...mockOps, name: 'polled', signaled }));
    const resv = Resv.create(machine);
    resv.lock();
    resv.reserveFences(1);
    resv.addFence(fence, BOOKKEEP);
    resv.unlock();
    expect([...resv.unlocked(KERNEL)]).toEqual([]);
    expect([signaled.mock.calls.length, fence.signaledFlag()]).toEqual([1, true]);
    fence.put();
    resv.destroy();
  });

  it('leaves no reference behind when a driver throws', () => {
    using machine = testMachine();
    const fence = mockFence(machine, 1, 1);
    const ops = defineFenceOps({
      ...mockOps,
      name: 'throwing',
      signaled() {
        throw new Error('no hardware');
      },
    });
    const broken = mockFence(machine, 2, 1, ops);
    const resv = Resv.create(machine);
    resv.lock();
    resv.reserveFences(2);
    resv.addFence(fence, READ);
    resv.addFence(broken, READ);
    expect(() => resv.getFences(READ)).toThrow('no hardware');
    const third = mockFence(machine, 3, 1);
    expect(() => resv.addFence(third, READ)).toThrow('no hardware');
    expect(() => resv.reserveFences(10)).toThrow('no hardware');
    expect([fence.refCount, broken.refCount]).toEqual([2, 2]);
    resv.unlock();
    broken.signalUnowned();
    resv.destroy();
    fence.put();
    broken.put();
    third.put();
  });
});

describe('dma_resv_get_fences', () => {
  it('fails with ENOMEM and holds nothing', () => {
    using machine = testMachine();
    const { resv, fences } = filled(machine);
    machine.faults.failNth(1, { site: 'dma_resv_get_fences' });
    expect(() => resv.getFences(BOOKKEEP)).toThrow(/ENOMEM/);
    expect(fences.map((f) => f.refCount)).toEqual([1, 1, 1, 1]);
    resv.destroy();
  });
});

describe('dma_resv_copy_fences', () => {
  it('takes over all unsignalled fences with their classes, in place of its own', () => {
    using machine = testMachine();
    const { resv: source, fences } = filled(machine);
    const { resv, fences: old } = filled(machine);
    fences[2]!.signalUnowned();
    const kept = old[0]!.get();
    resv.lock();
    resv.copyFences(source);
    const entries: [number, ResvUsage][] = [];
    resv.forEach(BOOKKEEP, (fence, usage) => entries.push([fence.ref, usage]));
    resv.unlock();
    expect(entries).toEqual([
      [fences[0]!.ref, KERNEL],
      [fences[1]!.ref, WRITE],
      [fences[3]!.ref, BOOKKEEP],
    ]);
    expect([kept.refCount, fences[0]!.refCount]).toEqual([1, 2]);
    kept.put();
    source.destroy();
    resv.destroy();
  });

  it('that fails with ENOMEM leaves everything as it was', () => {
    using machine = testMachine();
    const [{ resv: source }, { resv, fences }] = [filled(machine), filled(machine)];
    machine.faults.failNth(1, { site: 'dma_resv_copy_fences' });
    expect(() => resv.with(() => resv.copyFences(source))).toThrow(/ENOMEM/);
    expect(resv.testSignaled(KERNEL)).toBe(false);
    expect(fences[0]!.refCount).toBe(1);
    source.destroy();
    resv.destroy();
  });
});

describe('dma_resv_describe', () => {
  it('has a line for each fence of READ and stronger, signalled ones too', () => {
    using machine = testMachine();
    const { resv, fences } = filled(machine);
    fences[1]!.signalUnowned();
    expect(resv.with(() => resv.describe())).toBe(
      '\tkernel fence:1:1 mock mock unsignalled\n\twrite fence:2:1   signalled\n\tread fence:3:1 mock mock unsignalled\n',
    );
    resv.destroy();
  });
});

describe('dma_resv_set_deadline', () => {
  it('reaches the issuers of the fences of a class and stronger', () => {
    using machine = testMachine();
    const deadlines: [number, number][] = [];
    const ops = defineFenceOps({
      ...mockOps,
      name: 'dl',
      setDeadline: (f, ns) => void deadlines.push([f.context, ns]),
    });
    const resv = Resv.create(machine);
    resv.lock();
    resv.reserveFences(2);
    for (const [context, usage] of [
      [1, WRITE],
      [2, BOOKKEEP],
    ] as const) {
      const fence = mockFence(machine, context, 1, ops);
      resv.addFence(fence, usage);
      fence.put();
    }
    resv.unlock();
    resv.setDeadline(READ, 77);
    expect(deadlines).toEqual([[1, 77]]);
    resv.destroy();
  });
});
