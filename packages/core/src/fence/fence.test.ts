import {
  defineFenceOps,
  Fence,
  fenceContextAlloc,
  fenceIsContainer,
  fenceLater,
  fencePrivateStub,
  fencePut,
  fenceSignal,
} from '@dmabuf-emu/core';
import { FenceStruct } from '#dist/fence/internal/layout.js';
import { mockFence, mockOps } from '#dist/fence/mock-fence.test-worker.js';
import { KernelBug } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';

describe('struct dma_fence', () => {
  it('has 32 bytes, its state in the word that survives freeing', () => {
    expect(FenceStruct.$words).toBe(8);
    expect(FenceStruct.state.at).toBe(3);
  });

  it('is set up completely in memory that held something else', () => {
    using machine = testMachine();
    const first = mockFence(machine, 7, 9);
    first.setError('EIO');
    first.signalUnowned();
    first.put();
    const f = mockFence(machine, 3, 4);
    expect([f.context, f.seqno, f.priv, f.status(), f.signaledFlag(), f.refCount]).toEqual([3, 4, 0, 0, false, 1]);
    f.signalUnowned();
    expect(f.status()).toBe(1);
    f.put();
  });

  it('keeps the context of a driver without names a BUG', () => {
    using machine = testMachine();
    machine.diag.expect('bug', 'fence-ops');
    const ops = { name: 'half', getDriverName: () => 'half' } as never;
    expect(() => Fence.create(machine, { ops, context: 1, seqno: 1 })).toThrow(KernelBug);
  });

  it('refuses a driver that is another one here than elsewhere', () => {
    using machine = testMachine();
    mockFence(machine).put();
    const other = defineFenceOps({ ...mockOps, release: () => {} });
    expect(() => mockFence(machine, 0, 0, other)).toThrow(/'mock' has other operations here/);
  });

  it('fails with ENOMEM and leaves nothing behind', () => {
    using machine = testMachine();
    machine.faults.failNth(1, { site: 'dma_fence' });
    expect(() => mockFence(machine)).toThrow(/ENOMEM, dma_fence/);
    mockFence(machine).put();
  });
});

describe('contexts', () => {
  it('are numbered from 1, several at a time', () => {
    using machine = testMachine();
    expect([fenceContextAlloc(machine), fenceContextAlloc(machine, 3), fenceContextAlloc(machine)]).toEqual([1, 2, 5]);
  });

  it('cannot be allocated by none: a WARN, and the counter as it is', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'fence-context');
    expect([fenceContextAlloc(machine, 0), fenceContextAlloc(machine)]).toEqual([1, 1]);
  });
});

describe('order on a timeline', () => {
  const pair = (a: number, b: number, seqno64: boolean): [later: boolean, orSame: boolean] => {
    using machine = testMachine();
    using x = Fence.create(machine, { ops: mockOps, context: 1, seqno: a, seqno64 });
    using y = Fence.create(machine, { ops: mockOps, context: 1, seqno: b, seqno64 });
    return [x.fence.isLater(y.fence), x.fence.isLaterOrSame(y.fence)];
  };

  it.each([
    [2, 1, true],
    [1, 2, false],
    [5, 5, false],
    [2 ** 31, 2 ** 31 - 1, true],
    [2 ** 32, 2 ** 32 - 1, true],
    [0, 2 ** 32 - 1, true],
    [2 ** 32 - 1, 0, false],
    [2 ** 31, 0, false],
    [2 ** 32 + 1, 2, false],
  ])('modulo 2^32: %d after %d is %s', (a, b, later) => {
    expect(pair(a, b, false)).toEqual([later, later]);
  });

  it.each([
    [2 ** 31, 0, true],
    [0, 2 ** 32 - 1, false],
    [2 ** 32 + 1, 2, true],
    [2 ** 52, 2 ** 52 - 1, true],
    [3, 3, false],
  ])('in full: %d after %d is %s', (a, b, later) => {
    expect(pair(a, b, true)).toEqual([later, later]);
  });

  it('calls a fence later-or-same than itself', () => {
    using machine = testMachine();
    const f = mockFence(machine, 1, 1);
    expect([f.isLater(f), f.isLaterOrSame(f)]).toEqual([false, true]);
    f.put();
  });

  it('does not compare contexts', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'fence-context');
    const [a, b] = [mockFence(machine, 1, 2), mockFence(machine, 2, 1)];
    expect(a.isLater(b)).toBe(false);
    expect(fenceLater(machine, a.ref, b.ref)).toBe(0);
    expect(machine.diag.count('warn')).toBe(2);
    a.put();
    b.put();
  });

  it('gives the later of two, or none when that one is signalled', () => {
    using machine = testMachine();
    const [a, b, same] = [mockFence(machine, 1, 1), mockFence(machine, 1, 2), mockFence(machine, 1, 2)];
    expect(fenceLater(machine, a.ref, b.ref)).toBe(b.ref);
    expect(fenceLater(machine, b.ref, a.ref)).toBe(b.ref);
    expect(fenceLater(machine, b.ref, same.ref)).toBe(same.ref);
    b.signalUnowned();
    expect(fenceLater(machine, a.ref, b.ref)).toBe(0);
    a.signalUnowned();
    expect(fenceLater(machine, same.ref, a.ref)).toBe(same.ref);
    for (const f of [a, b, same]) f.put();
  });
});

describe('errors and status', () => {
  it('are stored until signalling, then shown', () => {
    using machine = testMachine();
    const f = mockFence(machine);
    f.setError(-4095);
    expect(f.status()).toBe(0);
    f.setError('ENODEV');
    f.signalUnowned();
    expect(f.status()).toBe(-19);
    f.put();
  });

  it('come too late after signalling: a WARN, and stored', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'fence-error-late');
    const f = mockFence(machine);
    f.signalUnowned();
    f.setError('ETIME');
    expect(f.status()).toBe(-62);
    f.put();
  });

  it.each([0, 1, -4096, Number.NaN])('cannot be %d', (error) => {
    using machine = testMachine();
    machine.diag.expect('warn', 'fence-error-range');
    const f = mockFence(machine);
    f.setError(error);
    expect(machine.diag.count('warn')).toBe(1);
    f.signalUnowned();
    expect(f.status()).toBe(1);
    f.put();
  });
});

describe('time stamps', () => {
  it('tell when the fence was signalled', () => {
    using machine = testMachine({ clock: 'manual' });
    const f = mockFence(machine);
    machine.clock.advance(5);
    f.signalUnowned();
    machine.clock.advance(5);
    f.signalUnowned(99);
    expect(f.timestampNs()).toBe(5_000_000);
    f.put();
  });

  it('can be given, 0 too', () => {
    using machine = testMachine();
    for (const ns of [0, 1, 123_456_789_012_345]) {
      const f = mockFence(machine);
      f.signalUnowned(ns);
      expect(f.timestampNs()).toBe(ns);
      f.put();
    }
  });

  it('are now, with a WARN, before signalling', () => {
    using machine = testMachine({ clock: 'manual' });
    machine.diag.expect('warn', 'fence-timestamp');
    machine.clock.advance(3);
    const f = mockFence(machine);
    expect(f.timestampNs()).toBe(3_000_000);
    f.put();
  });
});

describe('names', () => {
  const ops = defineFenceOps({
    name: 'named',
    getDriverName: () => 'my-driver',
    getTimelineName: (fence) => `line-${fence.context}`,
  });
  const keeping = defineFenceOps({ ...ops, name: 'keeping', release: () => {} });

  it.each([
    ['detaches', ops, false],
    ['keeps its operations', keeping, true],
  ])('are fixed strings after signalling, when the driver %s', (_, driver, hasOps) => {
    using machine = testMachine();
    const f = mockFence(machine, 4, 2, driver);
    expect([f.driverName(), f.timelineName()]).toEqual(['my-driver', 'line-4']);
    expect(f.describe()).toBe('4:2 line-4 my-driver unsignalled\n');
    f.signalUnowned();
    expect([f.driverName(), f.timelineName(), f.hasOps]).toEqual(['detached-driver', 'signaled-timeline', hasOps]);
    expect(f.describe()).toBe('4:2   signalled\n');
    f.put();
  });

  it('show the driver twice with the defect of 7.1-rc2', () => {
    using machine = testMachine({ quirks: ['fence.timelineNameBug'] });
    const f = mockFence(machine, 4, 2, ops);
    expect(f.describe()).toBe('4:2 my-driver my-driver unsignalled\n');
    f.put();
  });
});

describe('stubs', () => {
  it('are one fence of the machine, of context 0 and seqno 0, detached', () => {
    using machine = testMachine();
    const [a, b] = [Fence.stub(machine), Fence.stub(machine)];
    expect(a.ref).toBe(b.ref);
    expect([a.context, a.seqno, a.status(), a.hasOps, a.driverName(), a.timelineName()]).toEqual([
      0,
      0,
      1,
      false,
      'detached-driver',
      'signaled-timeline',
    ]);
    a.put();
    b.put();
  });

  it('can be private, with a time stamp', () => {
    using machine = testMachine();
    const f = Fence.of(machine, fencePrivateStub(machine, 77));
    expect([f.timestampNs(), f.status(), f.refCount]).toEqual([77, 1, 1]);
    f.put();
    machine.faults.failNth(1);
    expect(() => fencePrivateStub(machine, 1)).toThrow(/ENOMEM, dma_fence_allocate_private_stub/);
  });
});

describe('references', () => {
  it('are counted, null is allowed', () => {
    using machine = testMachine();
    const f = mockFence(machine);
    expect(f.get().refCount).toBe(2);
    f.put();
    expect(f.refCount).toBe(1);
    fencePut(machine, 0);
    f.put();
    expect(Fence.tryGet(machine, f.ref)).toBeUndefined();
    expect(Fence.tryGet(machine, 0)).toBeUndefined();
  });

  it('outlast the fence only as a detected error', () => {
    using machine = testMachine();
    machine.diag.expect('bug', 'use-after-free');
    const f = mockFence(machine);
    f.put();
    expect(() => f.put()).toThrow(/dma_fence #\d+ generation \d+ is gone, last touched by task 1 at dma_fence_free/);
  });

  it('go silently with an unsignalled fence that nobody watches', () => {
    using machine = testMachine();
    const f = mockFence(machine);
    f.enableSignaling();
    f.put();
    expect([machine.diag.count('warn'), Fence.tryGet(machine, f.ref)]).toEqual([0, undefined]);
  });

  it('cannot be told to signal null', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'fence-null');
    fenceSignal(machine, 0);
    expect(machine.diag.count('warn')).toBe(1);
  });

  it('are missed by the machine check', () => {
    using machine = testMachine();
    const f = mockFence(machine, 6, 1);
    expect(machine.verify()).toMatchObject({
      leaks: [
        expect.stringMatching(/^dma_fence: fence #\d+ 6:1: 1 references belong to nobody, from dma_fence by task 1$/),
      ],
      counts: { 'fence:active': 1 },
    });
    f.put();
    expect(machine.verify().leaks).toEqual([]);
  });
});

describe('containers', () => {
  it('say so by their driver, also when signalled', () => {
    using machine = testMachine();
    const ops = defineFenceOps({ ...mockOps, name: 'array', isContainer: true, release: () => {} });
    const [f, plain] = [mockFence(machine, 1, 1, ops), mockFence(machine)];
    f.signalUnowned();
    expect([fenceIsContainer(machine, f.ref), f.isContainer, plain.isContainer]).toEqual([true, true, false]);
    f.put();
    plain.put();
  });
});
