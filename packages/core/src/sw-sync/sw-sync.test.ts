import { FdTable, Fence, poll, PollEvents, SwSyncTimeline, syncInfo, SyncFile } from '@dmabuf-emu/core';
import { close, statusOf, swFence, swInc, swOpen, syncMerge, syncWait } from '#dist/sw-sync/sync-user.test-worker.js';
import { atomicLoad, ERRNO, KernelError, type Machine } from '@dmabuf-emu/shm';
import { propertyRuns, testMachine } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { startMany, startSwSyncJob } from './sw-sync-worker.fixture.ts';

const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });

const fenceRef = (machine: Machine, fd: number): number => {
  const fence = SyncFile.fenceOf(machine, fd)!;
  fence.put();
  return fence.ref;
};

describe('SwSyncTimeline (core §4.2)', () => {
  it('is a file that is ready for everything, named after its task', () => {
    using machine = testMachine();
    const table = FdTable.current(machine);
    const fd = swOpen(machine);
    expect(table.link(fd)).toBe('/sys/kernel/debug/sync/sw_sync');
    expect(poll(machine, [{ fd, events: PollEvents.IN | PollEvents.OUT }])).toEqual([PollEvents.IN | PollEvents.OUT]);
    const timeline = SwSyncTimeline.of(table.entries()[0]!.file);
    expect([timeline.name, timeline.value]).toEqual(['test', 0]);
    const fence = swFence(machine, fd, 1);
    const other = table.get(fence);
    expect(() => SwSyncTimeline.of(other)).toThrow(/a sync_file file is no timeline/);
    other.put();
    FdTable.exit(machine);
  });

  it.each([
    [0x7fffffff, [false, false, true, true]],
    [0x80000000, [true, true, true, true]],
    [0x80000001, [true, true, true, true]],
    [0xffffffff, [true, true, true, true]],
  ])('compares values as signed 32 bit: %i (OBSERVED 3)', (value, expected) => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const fence = swFence(machine, timeline, value);
    const ended = [syncWait(machine, fence, 0)];
    for (const by of [1, 0x7ffffffe, 0x80000000]) {
      swInc(machine, timeline, by);
      ended.push(syncWait(machine, fence, 0));
    }
    expect(ended).toEqual(expected);
    FdTable.exit(machine);
  });

  it('moves on in steps of INT_MAX, so that nothing on the way is missed (OBSERVED 3)', () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const [a, b] = [swFence(machine, timeline, 1), swFence(machine, timeline, 0x7fffffff)];
    swInc(machine, timeline, 0xffffffff);
    expect([a, b].map((fd) => syncWait(machine, fd, 0))).toEqual([true, true]);
    expect(syncWait(machine, swFence(machine, timeline, 0), 0)).toBe(false);
    expect(syncWait(machine, swFence(machine, timeline, 0xffffffff), 0)).toBe(true);
    swInc(machine, timeline, 0);
    FdTable.exit(machine);
  });

  it('traces each step with the value before it', () => {
    using machine = testMachine({ traceEvents: 32, traceStamps: 'every' });
    const timeline = SwSyncTimeline.create(machine);
    timeline.inc(5);
    timeline.inc(0x80000000);
    const steps = machine.trace.read().filter(({ name }) => name === 'sync_timeline');
    expect(steps.map(({ args }) => [machine.string(args[1]), args[2]])).toEqual([
      ['test', 0],
      ['test', 5],
      ['test', (5 + 0x7fffffff) | 0],
    ]);
    timeline.file.put();
  });

  it('has one fence for a value that is pending (OBSERVED 3)', () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const [a, b] = [swFence(machine, timeline, 3), swFence(machine, timeline, 3)];
    expect(fenceRef(machine, a)).toBe(fenceRef(machine, b));
    swInc(machine, timeline, 3);
    expect(fenceRef(machine, swFence(machine, timeline, 3))).not.toBe(fenceRef(machine, a));
    FdTable.exit(machine);
  });

  it('ends what is left with ENOENT when its last descriptor goes', () => {
    using machine = testMachine();
    const table = FdTable.current(machine);
    const timeline = swOpen(machine);
    const copy = table.dup(timeline);
    const [a, b] = [swFence(machine, timeline, 1), swFence(machine, timeline, 2)];
    close(machine, timeline);
    expect(statusOf(machine, a)).toBe(0);
    swInc(machine, copy, 1);
    close(machine, copy);
    expect([a, b].map((fd) => statusOf(machine, fd))).toEqual([1, -ERRNO.ENOENT]);
    expect(machine.verify().counts['sync_timeline']).toBe(1);
    close(machine, a, b);
    expect(machine.verify().counts['sync_timeline']).toBe(0);
  });

  it('shows timelines and points in sync/info', () => {
    using machine = testMachine({ clock: 'manual' });
    expect(syncInfo(machine)).toBe('objs:\n--------------\nfences:\n--------------\n');
    const [t, u] = [swOpen(machine), swOpen(machine)];
    const fds = [7, 5].map((value) => swFence(machine, t, value));
    close(machine, swFence(machine, t, 6));
    expect(syncInfo(machine)).toBe(
      'objs:\n--------------\ntest: 0\n  fence active: 5 / 0\n  fence active: 7 / 0\n\ntest: 0\n\nfences:\n--------------\n',
    );
    machine.clock.advance(12_000);
    swInc(machine, t, 5);
    close(machine, t, u);
    expect(syncInfo(machine)).toBe(
      'objs:\n--------------\ntest: 5\n  fence error@12.000000000: 7 / 5\n\nfences:\n--------------\n',
    );
    close(machine, ...fds);
  });

  it('makes the checks of SW_SYNC_IOC_CREATE_FENCE in their order, and leaves nothing behind', () => {
    using machine = testMachine();
    const table = FdTable.current(machine);
    const timeline = SwSyncTimeline.create(machine);
    const fault = () => {
      throw new KernelError('EFAULT', 'copy', 'injected');
    };
    expect(() => timeline.createFenceFd(fault)).toThrow(kernelError('EFAULT'));
    expect(() => timeline.createFenceFd(1, fault)).toThrow(kernelError('EFAULT'));
    for (let n = 1; n <= 5; n++) {
      machine.faults.failNth(n);
      expect(() => timeline.createFenceFd(1)).toThrow(kernelError('ENOMEM'));
    }
    machine.faults.off();
    table.limit = 0;
    expect(() => timeline.createFenceFd(fault)).toThrow(kernelError('EMFILE'));
    expect(table.size).toBe(0);
    for (const site of ['sync_timeline_create', 'sw_sync.file']) {
      machine.faults.failNth(1, { site });
      expect(() => SwSyncTimeline.create(machine)).toThrow(kernelError('ENOMEM'));
    }
    timeline.file.put();
  });

  it('agrees with a model of values and fences', () => {
    const step = fc.oneof(
      fc.record({ op: fc.constant('fence' as const), value: fc.integer({ min: -40, max: 40 }) }),
      fc.record({
        op: fc.constant('inc' as const),
        value: fc.oneof(fc.nat(9), fc.constantFrom(0x7fffffff, 0xffffffff)),
      }),
      fc.record({ op: fc.constant('drop' as const), value: fc.nat(20) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        using machine = testMachine();
        const timeline = SwSyncTimeline.create(machine);
        let value = 0;
        let held: { ref: number; seqno: number; ended: boolean }[] = [];
        for (const { op, value: argument } of steps) {
          if (op === 'fence') {
            const seqno = (value + argument) | 0;
            const fence = timeline.createFence(seqno);
            const ended = ((seqno - value) | 0) <= 0;
            const same = held.find((other) => other.seqno === seqno && !other.ended);
            expect(fence.ref === same?.ref).toBe(same !== undefined);
            held.push({ ref: fence.ref, seqno, ended });
          } else if (op === 'inc') {
            timeline.inc(argument);
            for (let left = argument; left >= 0; left -= 0x7fffffff) {
              value = (value + Math.min(left, 0x7fffffff)) | 0;
              for (const fence of held) fence.ended ||= ((fence.seqno - value) | 0) <= 0;
              if (left === 0x7fffffff) break;
            }
          } else if (held.length > 0) {
            const [gone] = held.splice(argument % held.length, 1);
            Fence.of(machine, gone!.ref).put();
          }
          for (const { ref, ended } of held) expect(Fence.of(machine, ref).signaledFlag()).toBe(ended);
          expect(timeline.value).toBe(value >>> 0);
        }
        for (const { ref } of held) Fence.of(machine, ref).put();
        held = [];
        timeline.file.put();
      }),
      { numRuns: propertyRuns(60) },
    );
  });
});

describe('SwSyncTimeline in workers', () => {
  it('goes on while workers make, merge, wait for and close fences', { timeout: 60_000 }, async () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const workers = await startMany<number>(machine, 3, (id) => ({ job: 'churn', timeline, id, rounds: 400 }));
    for (const { result } of workers) expect(await result).toBeLessThanOrEqual(400);
    expect(SwSyncTimeline.of(FdTable.current(machine).entries()[0]!.file).value).toBe(1200);
    FdTable.exit(machine);
  });

  it('ends with ENOENT what is left when the process of its owner dies', async () => {
    using machine = testMachine();
    FdTable.current(machine);
    const counter = machine.root('counter', 16);
    const { worker, task } = await startSwSyncJob(machine, { job: 'own-and-hang', timeline: 0, counter });
    expect(atomicLoad(machine.mem, counter)).toBe(1);
    const { fd } = FdTable.current(machine).entries()[0]!;
    expect(syncWait(machine, fd, 0)).toBe(false);
    await worker.terminate();
    machine.reap(task);
    expect(syncWait(machine, fd, 0)).toBe(true);
    expect(statusOf(machine, fd)).toBe(-ERRNO.ENOENT);
    FdTable.exit(machine);
  });

  it('is whole after a task died that merged fences of it', async () => {
    using machine = testMachine();
    const [timeline, other] = [swOpen(machine), swOpen(machine)];
    const mine = swFence(machine, other, 1);
    const { worker, task } = await startSwSyncJob(machine, { job: 'merge-and-hang', timeline, other: mine });
    await worker.terminate();
    machine.reap(task);
    expect(machine.verify().errors).toEqual([]);
    const fence = swFence(machine, timeline, 3);
    const merged = syncMerge(machine, fence, mine);
    swInc(machine, timeline, 3);
    swInc(machine, other, 1);
    expect(syncWait(machine, merged, 0)).toBe(true);
    FdTable.exit(machine);
  });

  it('wakes who is left after a task died that was waiting', async () => {
    using machine = testMachine();
    const timeline = swOpen(machine);
    const fence = swFence(machine, timeline, 1);
    const { worker, task } = await startSwSyncJob(machine, { job: 'wait-and-hang', timeline: fence });
    await worker.terminate();
    machine.reap(task);
    swInc(machine, timeline, 1);
    expect(syncWait(machine, fence, 0)).toBe(true);
    expect(machine.verify().errors).toEqual([]);
    FdTable.exit(machine);
  });
});
