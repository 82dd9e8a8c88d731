import {
  defineFenceOps,
  Epoll,
  Fence,
  fenceContextAlloc,
  FdTable,
  File,
  poll,
  PollEvents,
  SwSyncTimeline,
  SyncFile,
} from '@dmabuf-emu/core';
import { close, swFence, swInc, swOpen, syncMerge, syncWait } from '#dist/sw-sync/sync-user.test-worker.js';
import { ERRNO, KernelError, type Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { exported, recorder } from '../dma-buf/recorder.fixture.ts';

const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });
const DETACHED = { objName: 'signaled-timeline', driverName: 'detached-driver' };

/** Runs `fn` on the sync_file behind `fd`. */
function on<R>(machine: Machine, fd: number, fn: (file: SyncFile) => R): R {
  const file = SyncFile.tryGet(machine, fd)!;
  try {
    return fn(file);
  } finally {
    file.file.put();
  }
}

const info = (machine: Machine, fd: number, options = {}) => on(machine, fd, (file) => file.info(options));

/** Two timelines with a fence at 1 each, and the two merged. */
function setUp(machine: Machine) {
  const [t, u] = [swOpen(machine), swOpen(machine)];
  const [a, b] = [swFence(machine, t, 1), swFence(machine, u, 1)];
  return { t, u, a, b, merged: syncMerge(machine, a, b, 'merged') };
}

describe('SyncFile (core §4.1)', () => {
  it('shows itself as the kernel does', () => {
    using machine = testMachine();
    const table = FdTable.current(machine);
    const fd = swFence(machine, swOpen(machine), 5);
    expect(table.link(fd)).toBe('anon_inode:sync_file');
    expect(table.fdinfo(fd)).toEqual(['pos:\t0', 'flags:\t02000000']);
    expect(table.cloexec(fd)).toBe(true);
    FdTable.exit(machine);
  });

  it('has the name that it was given, else one of its fence', () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const [a, b] = [swFence(machine, timeline, 5), swFence(machine, timeline, 7)];
    const { context } = on(machine, a, (file) => file.fence);
    expect(info(machine, a).name).toBe(`sw_sync-test${context}-5`);
    expect(info(machine, syncMerge(machine, a, b, 'both')).name).toBe('both');
    expect(info(machine, syncMerge(machine, a, b, '')).name).toBe(`sw_sync-test${context}-7`);
    expect(info(machine, syncMerge(machine, a, b, 'n'.repeat(40))).name).toBe('n'.repeat(31));
    const odd = on(machine, a, (file) => file.mergeFd({ fd2: b, name: Uint8Array.of(0xc3, 0xff, 1) }));
    expect([...on(machine, odd, (file) => file.nameBytes)]).toEqual([0xc3, 0xff, 1]);
    swInc(machine, timeline, 7);
    expect(info(machine, a).name).toBe('detached-driver-signaled-timeli');
    FdTable.exit(machine);
  });

  it('tells of its fences, in the order of their contexts', () => {
    using machine = testMachine({ clock: 'manual' });
    const { t, u, merged } = setUp(machine);
    const active = { objName: 'test', driverName: 'sw_sync', status: 0, timestampNs: 0 };
    expect(info(machine, merged)).toEqual({ name: 'merged', status: 0, numFences: 2, fences: [active, active] });
    machine.clock.advance(3);
    swInc(machine, t, 1);
    const ended = { ...DETACHED, status: 1, timestampNs: 3e6 };
    expect(info(machine, merged)).toEqual({ name: 'merged', status: 0, numFences: 2, fences: [ended, active] });
    swInc(machine, u, 1);
    expect(info(machine, merged)).toEqual({ name: 'merged', status: 1, numFences: 2, fences: [ended, ended] });
    FdTable.exit(machine);
  });

  it('tells number and status of the whole where there is no room, and refuses too little room', () => {
    using machine = testMachine();
    const { t, u, merged } = setUp(machine);
    expect(info(machine, merged, { room: 0 })).toEqual({ name: 'merged', status: 0, numFences: 2 });
    expect(() => info(machine, merged, { room: 1 })).toThrow(/EINVAL.*there are 2 fences, room for 1/);
    for (const room of [2, 3, 2 ** 32 - 1]) expect(info(machine, merged, { room }).fences).toHaveLength(2);
    for (const bad of [{ flags: 1 }, { pad: 1 }, { flags: 1, room: 0 }]) {
      expect(() => info(machine, merged, bad)).toThrow(kernelError('EINVAL'));
    }
    swInc(machine, t, 1);
    expect(info(machine, merged, { room: 0 }).status).toBe(0);
    swInc(machine, u, 1);
    expect(info(machine, merged, { room: 0 }).status).toBe(1);
    FdTable.exit(machine);
  });

  it('shows the error of a part before the whole has ended, and then for good', () => {
    using machine = testMachine();
    const { t, u, merged } = setUp(machine);
    close(machine, t);
    expect(info(machine, merged)).toMatchObject({ status: -ERRNO.ENOENT, fences: [DETACHED, { objName: 'test' }] });
    expect(syncWait(machine, merged, 0)).toBe(false);
    swInc(machine, u, 1);
    expect(info(machine, merged)).toMatchObject({ status: -ERRNO.ENOENT, numFences: 2 });
    expect(info(machine, merged, { room: 0 })).toMatchObject({ status: -ERRNO.ENOENT });
    expect(syncWait(machine, merged, 0)).toBe(true);
    FdTable.exit(machine);
  });

  it('is active as long as its first part is, whatever the others have come to', () => {
    using machine = testMachine();
    const { u, merged } = setUp(machine);
    swInc(machine, u, 1);
    const { status, fences } = info(machine, merged);
    expect([status, fences!.map((fence) => fence.status)]).toEqual([0, [0, 1]]);
    FdTable.exit(machine);
  });

  it('shows own names with the status of a fence that is only now found to have ended', () => {
    using machine = testMachine();
    let done = false;
    const ops = defineFenceOps({
      name: 'polled',
      getDriverName: () => 'driver',
      getTimelineName: () => 'timeline',
      signaled: () => done,
    });
    const right = Fence.create(machine, { ops, context: fenceContextAlloc(machine), seqno: 1 });
    const file = SyncFile.create(right.fence);
    done = true;
    expect(file.info().fences).toMatchObject([{ objName: 'timeline', driverName: 'driver', status: 1 }]);
    expect(file.info().fences).toMatchObject([{ ...DETACHED, status: 1 }]);
    file.file.put();
    right.signal();
  });

  it('loses an error when all parts have ended before the merge', () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const [a, b] = [swFence(machine, timeline, 1), swFence(machine, timeline, 2)];
    swInc(machine, timeline, 1);
    close(machine, timeline);
    expect([info(machine, a).status, info(machine, b).status]).toEqual([1, -ERRNO.ENOENT]);
    expect(info(machine, syncMerge(machine, a, b))).toMatchObject({ status: 1, numFences: 1 });
    FdTable.exit(machine);
  });

  it('merges to the latest of a timeline, and drops what has ended', () => {
    using machine = testMachine();
    const { t, u, a, b } = setUp(machine);
    const later = swFence(machine, t, 3);
    const merged = syncMerge(machine, a, later);
    expect(on(machine, merged, (m) => m.fence.ref)).toBe(on(machine, later, (l) => l.fence.ref));
    const nested = syncMerge(machine, syncMerge(machine, a, b), merged);
    expect(info(machine, nested).numFences).toBe(2);
    swInc(machine, t, 3);
    expect(info(machine, syncMerge(machine, nested, b)).numFences).toBe(1);
    swInc(machine, u, 1);
    expect(info(machine, syncMerge(machine, nested, b))).toMatchObject({ numFences: 1, status: 1 });
    FdTable.exit(machine);
  });

  it('makes the checks of SYNC_IOC_MERGE in their order, and leaves nothing behind', () => {
    using machine = testMachine();
    const { t, a, b } = setUp(machine);
    const device = exported(machine, recorder()).fd();
    const table = FdTable.current(machine);
    const before = table.size;
    const merge = (request: Parameters<SyncFile['mergeFd']>[0], copyOut?: (fd: number) => void) =>
      on(machine, a, (file) => file.mergeFd(request, copyOut));
    const fault = () => {
      throw new KernelError('EFAULT', 'copy', 'injected');
    };
    expect(() => merge({ fd2: -1, flags: 1 })).toThrow(kernelError('EINVAL'));
    expect(() => merge({ fd2: -1, pad: 1 })).toThrow(kernelError('EINVAL'));
    for (const fd2 of [-1, 99, t, device]) expect(() => merge({ fd2 })).toThrow(kernelError('ENOENT'));
    expect(() => merge(fault)).toThrow(kernelError('EFAULT'));
    const seen: number[] = [];
    expect(() => merge({ fd2: b }, (fd) => (seen.push(fd), fault()))).toThrow(kernelError('EFAULT'));
    expect(seen).toHaveLength(1);
    expect(() => table.get(seen[0]!)).toThrow(kernelError('EBADF'));
    table.limit = table.entries().at(-1)!.fd + 1;
    expect(() => merge(fault)).toThrow(kernelError('EMFILE'));
    expect(table.size).toBe(before);
    FdTable.exit(machine);
  });

  it('reports running out of memory at whatever allocation, with nothing left behind', () => {
    using machine = testMachine();
    const { a, b } = setUp(machine);
    const { size } = FdTable.current(machine);
    let failures = 0;
    for (let n = 1; ; n++) {
      machine.faults.failNth(n);
      try {
        syncMerge(machine, a, b);
        break;
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENOMEM' });
        expect(FdTable.current(machine).size).toBe(size);
        failures++;
      }
    }
    machine.faults.off();
    expect(failures).toBeGreaterThan(5);
    File.setLimit(machine, File.openCount(machine));
    expect(() => syncMerge(machine, a, b)).toThrow(kernelError('ENOMEM'));
    File.setLimit(machine, 0);
    FdTable.exit(machine);
  });

  it('sets deadlines on every part', () => {
    using machine = testMachine();
    const { t, u, a, b, merged } = setUp(machine);
    const timeline = SwSyncTimeline.of(FdTable.current(machine).get(t));
    const deadlines = () => [a, b].map((fd) => timeline.deadline({ fd }));
    expect(() => timeline.deadline({ fd: a })).toThrow(kernelError('ENOENT'));
    on(machine, a, (file) => {
      file.setDeadline(5000);
      file.setDeadline(9000);
      expect(() => file.setDeadline(100, 1)).toThrow(kernelError('EINVAL'));
    });
    expect(timeline.deadline({ fd: a })).toBe(5000);
    on(machine, merged, (file) => file.setDeadline(50));
    expect(deadlines()).toEqual([50, 50]);
    for (const bad of [{ fd: merged }, { fd: -1 }, { fd: u }, { fd: a, deadlineNs: 1 }, { fd: a, pad: 1 }]) {
      expect(() => timeline.deadline(bad)).toThrow(kernelError('EINVAL'));
    }
    swInc(machine, t, 1);
    on(machine, a, (file) => file.setDeadline(1));
    expect(deadlines()).toEqual([50, 50]);
    timeline.file.put();
    FdTable.exit(machine);
  });

  it('gives its fence to other parts of the kernel', () => {
    using machine = testMachine();
    const { t, a } = setUp(machine);
    const fence = SyncFile.fenceOf(machine, a)!;
    expect(fence.seqno).toBe(1);
    expect(fence.refCount).toBe(3);
    fence.put();
    expect([SyncFile.fenceOf(machine, t), SyncFile.fenceOf(machine, -1)]).toEqual([undefined, undefined]);
    expect(() => SyncFile.of(FdTable.current(machine).entries()[0]!.file)).toThrow(/a sw_sync file is no sync_file/);
    FdTable.exit(machine);
  });
});

describe('polling a SyncFile', () => {
  const { IN, OUT, PRI, ERR } = PollEvents;

  it('is ready to read once the fence has ended, and for nothing else', () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const fd = swFence(machine, timeline, 1);
    const ask = (events: number) => poll(machine, [{ fd, events }], { timeoutMs: 0 })[0];
    expect([OUT, PRI, IN | OUT | ERR].map(ask)).toEqual([0, 0, 0]);
    swInc(machine, timeline, 1);
    expect([OUT, IN | OUT | ERR].map(ask)).toEqual([0, IN]);
    FdTable.exit(machine);
  });

  it('puts one callback on the fence, with the first poll', () => {
    using machine = testMachine();
    const fd = swFence(machine, swOpen(machine), 1);
    const callbacks = () => machine.verify().counts['slab:dma_fence_cb'];
    const before = callbacks();
    for (let n = 0; n < 10; n++) expect(syncWait(machine, fd, 0)).toBe(false);
    expect(callbacks()).toBe(before);
    close(machine, fd);
    FdTable.exit(machine);
  });

  it('wakes in the order of the timeline, whatever the order of creation (OBSERVED 6)', () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const epoll = Epoll.create(machine);
    FdTable.current(machine).install(epoll.file);
    for (const value of [3, 1, 2]) {
      epoll.add(swFence(machine, timeline, value), { events: IN | PollEvents.ET, data: BigInt(value) });
    }
    const order = () => epoll.wait({ timeoutMs: 0 }).map(({ data }) => Number(data));
    expect(order()).toEqual([]);
    swInc(machine, timeline, 2);
    expect(order()).toEqual([1, 2]);
    close(machine, timeline);
    expect([order(), order()]).toEqual([[3], []]);
    FdTable.exit(machine);
  });

  it('wakes for the parts before the whole (OBSERVED 6)', () => {
    using machine = testMachine();
    const { t, u, a, b, merged } = setUp(machine);
    const epoll = Epoll.create(machine);
    FdTable.current(machine).install(epoll.file);
    for (const [fd, data] of [
      [merged, 9n],
      [a, 1n],
      [b, 2n],
    ] as const) {
      epoll.add(fd, { events: IN | PollEvents.ET, data });
    }
    swInc(machine, t, 1);
    expect(epoll.wait({ timeoutMs: 0 })).toEqual([{ events: IN, data: 1n }]);
    swInc(machine, u, 1);
    expect(epoll.wait({ timeoutMs: 200 }).map(({ data }) => data)).toEqual([2n, 9n]);
    FdTable.exit(machine);
  });

  it('survives its parts', () => {
    using machine = testMachine();
    const { t, u, a, b, merged } = setUp(machine);
    close(machine, a, b);
    swInc(machine, t, 1);
    expect(syncWait(machine, merged, 0)).toBe(false);
    swInc(machine, u, 1);
    expect(syncWait(machine, merged, 0)).toBe(true);
    FdTable.exit(machine);
  });
});
