import { EventFd, SwSyncTimeline, SyncFile } from '@dmabuf-emu/core';
import { type DrmFile, SyncobjFdFlags, SyncobjWaitFlags } from '@dmabuf-emu/exporter-heap';
import { expect, it } from 'vitest';
import { answer, drmRig, type DrmRig } from '../drm.fixture.ts';
import { errno } from '../../testing/rig.fixture.ts';

const SYNC_FILE = SyncobjFdFlags.SYNC_FILE;
const { WAIT_AVAILABLE } = SyncobjWaitFlags;

/** A device, a software timeline, and ways to look at sync objects. */
function setUp(r: DrmRig) {
  const drm = r.open('virtio_gpu');
  const timeline = SwSyncTimeline.create(r.machine);
  r.fds.install(timeline.file);
  return {
    drm,
    timeline,
    wait: (handle: number, points?: number[], flags = 0) =>
      answer(() => drm.syncobjWait({ handles: [handle], timeoutNs: 0, flags, ...(points && { points }) })),
    query: (handle: number, flags = 0) => drm.syncobjQuery({ handles: [handle], flags })[0],
    /** A sync object with the fence of that value. */
    pending: (value: number, into = drm.syncobjCreate()) => {
      const fd = timeline.createFenceFd(value);
      expect(drm.syncobjFdToHandle(fd, { handle: into, flags: SYNC_FILE })).toBe(into);
      return into;
    },
  };
}

function statusOf(r: DrmRig, fd: number): number {
  const fence = SyncFile.fenceOf(r.machine, fd)!;
  const status = fence.status();
  fence.put();
  return status;
}

function exported(drm: DrmFile, handle: number, more: object = {}) {
  return answer(() => drm.syncobjHandleToFd({ handle, flags: SYNC_FILE, ...more }));
}

it('a sync_file carries a fence into an object and out of it', () => {
  using r = drmRig();
  const { drm, timeline, wait, pending } = setUp(r);
  const empty = drm.syncobjCreate();
  expect(exported(drm, empty)).toBe('EINVAL');
  const b = pending(1);
  expect(wait(b)).toBe('ETIME');
  const fd = exported(drm, b) as number;
  expect(statusOf(r, fd)).toBe(0);
  timeline.inc();
  expect([wait(b), statusOf(r, fd)]).toEqual([0, 1]);
  const fdToHandle = (from: number, handle: number) =>
    answer(() => drm.syncobjFdToHandle(from, { handle, flags: SYNC_FILE }));
  expect([fdToHandle(fd, 99), fdToHandle(0, b), fdToHandle(-1, 99)]).toEqual(['ENOENT', 'EINVAL', 'EINVAL']);
});

it('points pend and pass one after the other', () => {
  using r = drmRig();
  const { drm, timeline, wait, query, pending } = setUp(r);
  const a = drm.syncobjCreate();
  const b = pending(1);
  drm.syncobjTransfer({ src: b, dst: a, dstPoint: 10 });
  pending(2, b);
  drm.syncobjTransfer({ src: b, dst: a, dstPoint: 20 });
  expect([query(a), query(a, 1)]).toEqual([0, 20]);
  expect([wait(a, [10]), wait(a, [20], WAIT_AVAILABLE)]).toEqual(['ETIME', 0]);
  timeline.inc();
  expect([query(a), wait(a, [10]), wait(a, [20])]).toEqual([10, 0, 'ETIME']);
  const whole = exported(drm, a) as number;
  expect(statusOf(r, whole)).toBe(0);
  timeline.inc();
  expect([query(a), wait(a, [20]), statusOf(r, whole)]).toEqual([20, 0, 1]);
});

it('a sync_file of one point, and one put behind a timeline', () => {
  using r = drmRig();
  const { drm, timeline, query, pending } = setUp(r);
  const a = drm.syncobjCreate();
  drm.syncobjTransfer({ src: pending(1), dst: a, dstPoint: 10 });
  drm.syncobjTransfer({ src: pending(2), dst: a, dstPoint: 20 });
  const flags = SYNC_FILE | SyncobjFdFlags.TIMELINE;
  const first = exported(drm, a, { flags, point: 10 }) as number;
  const whole = exported(drm, a, { point: 10 }) as number;
  expect(exported(drm, a, { flags, point: 21 })).toBe('EINVAL');
  timeline.inc();
  expect([statusOf(r, first), statusOf(r, whole)]).toEqual([1, 0]);
  drm.syncobjFdToHandle(timeline.createFenceFd(3), { handle: a, flags, point: 30 });
  expect([query(a), query(a, 1)]).toEqual([10, 30]);
  timeline.inc(2);
  expect(query(a)).toBe(30);
});

it('6.12 knows no points of sync_files', () => {
  using r = drmRig({ kernel: '6.12' });
  const { drm, pending } = setUp(r);
  const b = pending(1);
  expect(exported(drm, b, { flags: SYNC_FILE | SyncobjFdFlags.TIMELINE, point: 1 })).toBe('EINVAL');
  expect(exported(drm, b, { point: 77 })).toBeTypeOf('number');
  expect(drm.syncobjHandleToFd({ handle: b, point: 77 })).toBeTypeOf('number');
});

it('an eventfd hears of a pending point when it signals; of one that is there at once, if that is enough', () => {
  using r = drmRig();
  const { drm, timeline, pending } = setUp(r);
  const a = drm.syncobjCreate();
  const event = EventFd.create(r.machine, { flags: 0o4000 });
  const fd = r.fds.install(event.file);
  drm.syncobjEventfd({ handle: a, fd, point: 5, flags: WAIT_AVAILABLE });
  drm.syncobjEventfd({ handle: a, fd, point: 5 });
  expect(() => event.read()).toThrow(errno('EAGAIN'));
  drm.syncobjTransfer({ src: pending(1), dst: a, dstPoint: 5 });
  expect(event.read()).toBe(1n);
  expect(r.machine.verify()).toMatchObject({ errors: [], leaks: [] });
  drm.syncobjDestroy({ handle: a });
  r.fds.close(fd);
  timeline.inc();
  expect(r.machine.verify().counts['slab:syncobj_eventfd_entry']).toBe(0);
});

it('a wait for several wakes when the last of them has signalled', () => {
  using r = drmRig({ clock: 'manual' });
  const { drm, timeline, pending } = setUp(r);
  const handles = [pending(1), pending(2), pending(3)];
  for (const [i, ms] of [10, 20, 30].entries()) {
    r.machine.timers.start({ name: 'test.inc', expire: () => timeline.inc() }, i, ms);
  }
  const wait = (flags: number, ms: number) =>
    answer(() => drm.syncobjWait({ handles, flags, timeoutNs: r.machine.clock.nowNs() + ms * 1e6 }));
  r.machine.clock.advance(5);
  expect(wait(0, 0)).toBe('ETIME');
  r.machine.clock.advance(10);
  expect([wait(0, 0), wait(SyncobjWaitFlags.WAIT_ALL, 0)]).toEqual([0, 'ETIME']);
  r.machine.clock.advance(20);
  expect(wait(SyncobjWaitFlags.WAIT_ALL, 0)).toBe(0);
});
