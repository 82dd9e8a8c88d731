import { EventFd, PollEvents } from '@dmabuf-emu/core';
import { type DrmFile, SyncobjFdFlags, SyncobjWaitFlags, type SyncobjWait } from '@dmabuf-emu/exporter-heap';
import { startTestWorker, type TestWorker } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { answer, drmRig, type DrmRig } from '../drm.fixture.ts';
import { errno } from '../../testing/rig.fixture.ts';

const { WAIT_ALL, WAIT_FOR_SUBMIT, WAIT_AVAILABLE, WAIT_DEADLINE } = SyncobjWaitFlags;
const U32_MAX = 0xffff_ffff;
const SIGNALED = 1;

function open(r: DrmRig): DrmFile {
  return r.open('virtio_gpu');
}

/** A look without waiting. */
function look(drm: DrmFile, handles: number | number[], more: Partial<SyncobjWait> = {}) {
  return answer(() => drm.syncobjWait({ handles: [handles].flat(), timeoutNs: 0, ...more }));
}

function lookAt(drm: DrmFile, handle: number, point: number, flags = 0) {
  return look(drm, handle, { points: [point], flags });
}

const worker = new URL(import.meta.resolve('#dist/drm/syncobj/syncobj.test-worker.js'));

/** A thread of the process that waits; resolves when it sleeps. */
async function startWaiter(r: DrmRig, wait: Partial<SyncobjWait> & { handles: number[] }) {
  const args = { process: r.fds.ref, fd: 0, wait: { timeoutNs: r.machine.clock.nowNs() + 20e9, ...wait } };
  const started: TestWorker<number | string | null> = startTestWorker(worker, r.machine, args, 'waiter');
  const asleep = () => r.machine.tasks().some(({ waitingFor }) => waitingFor?.label === 'drm_syncobj_wait');
  await expect.poll(asleep, { timeout: 20_000, interval: 2 }).toBe(true);
  return started;
}

describe('handles of sync objects', () => {
  it.each(['vgem', 'vkms'] as const)('are not to be had of %s', (driver) => {
    using r = drmRig();
    const drm = r.open(driver);
    const one = { handles: [1] };
    const calls = [
      () => drm.syncobjCreate(7),
      () => drm.syncobjDestroy({ handle: 1, pad: 1 }),
      () => drm.syncobjHandleToFd({ handle: 1, pad: 1 }),
      () => drm.syncobjFdToHandle(-1),
      () => drm.syncobjWait({ ...one, timeoutNs: 0, flags: 0x80 }),
      () => drm.syncobjReset({ handles: [] }),
      () => drm.syncobjSignal({ handles: [] }),
      () => drm.syncobjTimelineSignal({ ...one, points: [1], flags: 1 }),
      () => drm.syncobjQuery({ ...one, flags: 8 }),
      () => drm.syncobjTransfer({ src: 1, dst: 1, pad: 1 }),
      () => drm.syncobjEventfd({ handle: 1, fd: -1, pad: 1 }),
    ];
    expect(calls.map((call) => answer(call))).toEqual(calls.map(() => 'EOPNOTSUPP'));
  });

  it('are lowest first; only flag SIGNALED makes them full', () => {
    using r = drmRig();
    const drm = open(r);
    const [a, b] = [drm.syncobjCreate(), drm.syncobjCreate(SIGNALED)];
    expect([a, b, look(drm, a), look(drm, b)]).toEqual([1, 2, 'EINVAL', 0]);
    for (const flags of [2, 3, 0x8000_0000]) expect(() => drm.syncobjCreate(flags)).toThrow(errno('EINVAL'));
    expect(() => drm.syncobjDestroy({ handle: a, pad: 1 })).toThrow(errno('EINVAL'));
    drm.syncobjDestroy({ handle: a });
    for (const handle of [a, 0]) expect(() => drm.syncobjDestroy({ handle })).toThrow(errno('EINVAL'));
    expect(drm.syncobjCreate()).toBe(1);
  });

  it('become descriptors that other files can open; each import is a new handle', () => {
    using r = drmRig();
    const [v, w] = [open(r), open(r)];
    const a = v.syncobjCreate();
    const fd = v.syncobjHandleToFd({ handle: a });
    expect([r.fds.link(fd), r.fds.fdinfo(fd)]).toEqual(['anon_inode:syncobj_file', ['pos:\t0', 'flags:\t02000000']]);
    const [b, b2] = [w.syncobjFdToHandle(fd), w.syncobjFdToHandle(fd)];
    expect([b, b2]).toEqual([1, 2]);
    w.syncobjSignal({ handles: [b] });
    expect(look(v, a)).toBe(0);
    r.close(v);
    r.fds.close(fd);
    expect(look(w, b2)).toBe(0);
    expect(r.machine.verify()).toMatchObject({ errors: [], leaks: [], counts: { drm_syncobj: 1 } });
  });

  it('refuse descriptors of something else, and unknown flags', () => {
    using r = drmRig();
    const drm = open(r);
    const a = drm.syncobjCreate();
    const fd = drm.syncobjHandleToFd({ handle: a });
    const toFd = (over: object) => answer(() => drm.syncobjHandleToFd({ handle: a, ...over }));
    const toHandle = (of: number, over: object = {}) => answer(() => drm.syncobjFdToHandle(of, { handle: 0, ...over }));
    expect([toFd({ handle: 99 }), toFd({ flags: 0x100 }), toFd({ pad: 1 }), toFd({ point: 1 })]).toEqual(
      Array(4).fill('EINVAL'),
    );
    expect([toHandle(-1), toHandle(0), toHandle(fd, { flags: 0x100 }), toHandle(fd, { pad: 1 })]).toEqual(
      Array(4).fill('EINVAL'),
    );
    expect(toHandle(fd, { point: 1 })).toBe('EINVAL');
    expect(toFd({ handle: 99, flags: SyncobjFdFlags.SYNC_FILE })).toBe('ENOENT');
    expect(toFd({ flags: SyncobjFdFlags.SYNC_FILE })).toBe('EINVAL');
    r.fds.limit = r.fds.size;
    expect(toFd({})).toBe('EMFILE');
  });
});

describe('waiting', () => {
  it('looks at what is there; nothing is EINVAL unless one waits for it to come', () => {
    using r = drmRig();
    const drm = open(r);
    const s = drm.syncobjCreate();
    expect([look(drm, s), look(drm, s, { flags: WAIT_FOR_SUBMIT })]).toEqual(['EINVAL', 'ETIME']);
    const timeoutNs = r.machine.clock.nowNs() + 20e6;
    expect(look(drm, s, { flags: WAIT_FOR_SUBMIT, timeoutNs })).toBe('ETIME');
    expect(r.machine.clock.nowNs()).toBeGreaterThanOrEqual(timeoutNs);
    drm.syncobjSignal({ handles: [s] });
    expect(look(drm, s)).toBe(0);
    drm.syncobjReset({ handles: [s] });
    expect([look(drm, s), look(drm, s, { flags: 0x80 }), look(drm, s, { flags: WAIT_AVAILABLE })]).toEqual(
      Array(3).fill('EINVAL'),
    );
    expect([look(drm, 0), look(drm, 99), look(drm, [s, 99])]).toEqual(['ENOENT', 'ENOENT', 'ENOENT']);
    expect(look(drm, [])).toBe(null);
    expect(look(drm, s, { flags: WAIT_FOR_SUBMIT | WAIT_DEADLINE, deadlineNs: 5 })).toBe('ETIME');
  });

  it('ends with any or all', () => {
    using r = drmRig();
    const drm = open(r);
    const [a, b] = [drm.syncobjCreate(), drm.syncobjCreate(SIGNALED)];
    expect(look(drm, [a, b])).toBe('EINVAL');
    expect(look(drm, [a, b], { flags: WAIT_FOR_SUBMIT })).toBe(1);
    expect(look(drm, [a, b], { flags: WAIT_FOR_SUBMIT | WAIT_ALL })).toBe('ETIME');
    expect(look(drm, [b, b], { flags: WAIT_ALL })).toBe(0);
  });

  it.each([
    ['all of them, with the first that had signalled before', WAIT_ALL, [1, 2], 1],
    ['any of them', 0, [1, 3], 0],
    ['all, where none had signalled before', WAIT_ALL, [1, 1], U32_MAX],
  ])('sleeps until another thread signals %s', async (_what, flags, handles, first) => {
    using r = drmRig();
    const drm = open(r);
    drm.syncobjCreate();
    drm.syncobjCreate(SIGNALED);
    drm.syncobjCreate();
    const { result } = await startWaiter(r, { handles: [...handles], flags: flags | WAIT_FOR_SUBMIT });
    drm.syncobjSignal({ handles: [1] });
    expect(await result).toBe(first);
    expect(r.machine.verify().errors).toEqual([]);
  });

  it('keeps the fence that was submitted, also when the object is emptied before the waiter runs', async () => {
    using r = drmRig();
    const drm = open(r);
    const s = drm.syncobjCreate();
    const { result } = await startWaiter(r, { handles: [s], flags: WAIT_FOR_SUBMIT });
    drm.syncobjReset({ handles: [s] });
    drm.syncobjSignal({ handles: [s] });
    drm.syncobjReset({ handles: [s] });
    expect(await result).toBe(0);
  });

  it('sleeps until a point is submitted, and until it has signalled', async () => {
    using r = drmRig();
    const drm = open(r);
    const s = drm.syncobjCreate();
    const { result } = await startWaiter(r, { handles: [s], points: [7], flags: WAIT_FOR_SUBMIT });
    drm.syncobjTimelineSignal({ handles: [s], points: [5] });
    drm.syncobjTimelineSignal({ handles: [s], points: [8] });
    expect(await result).toBe(0);
  });

  it('ends for a thread that is signalled', async () => {
    using r = drmRig();
    const drm = open(r);
    const s = drm.syncobjCreate();
    const { result } = await startWaiter(r, { handles: [s], flags: WAIT_FOR_SUBMIT });
    r.machine.interrupt(r.machine.tasks().find(({ name }) => name === 'waiter')!.id);
    expect(await result).toBe('ERESTARTSYS');
  });

  it('that died leaves nothing behind', async () => {
    using r = drmRig();
    const drm = open(r);
    const s = drm.syncobjCreate();
    const { worker: thread } = await startWaiter(r, { handles: [s, s], flags: WAIT_FOR_SUBMIT });
    const { id } = r.machine.tasks().find(({ name }) => name === 'waiter')!;
    await thread.terminate();
    r.machine.reap(id);
    drm.syncobjSignal({ handles: [s] });
    drm.syncobjDestroy({ handle: s });
    expect(r.machine.verify().counts['drm_syncobj']).toBe(0);
    expect(r.machine.verify().counts['slab:syncobj_wait_entry']).toBe(0);
  });
});

describe('a timeline', () => {
  it('goes on; earlier points have passed, later ones are not there', () => {
    using r = drmRig();
    const drm = open(r);
    const a = drm.syncobjCreate();
    const query = (flags = 0) => drm.syncobjQuery({ handles: [a], flags });
    expect(query()).toEqual([0]);
    drm.syncobjTimelineSignal({ handles: [a], points: [5] });
    expect(query()).toEqual([5]);
    expect([lookAt(drm, a, 5), lookAt(drm, a, 4), lookAt(drm, a, 0)]).toEqual([0, 0, 0]);
    expect(lookAt(drm, a, 6)).toBe('EINVAL');
    expect([lookAt(drm, a, 6, WAIT_FOR_SUBMIT), lookAt(drm, a, 6, WAIT_AVAILABLE)]).toEqual(['ETIME', 'ETIME']);
    for (const point of [3, 5]) {
      drm.syncobjTimelineSignal({ handles: [a], points: [point] });
      expect([query(), query(1)]).toEqual([[5], [5]]);
    }
    expect(() => drm.syncobjTimelineSignal({ handles: [a], points: [9], flags: 1 })).toThrow(errno('EINVAL'));
    expect(() => query(2)).toThrow(errno('EINVAL'));
    expect(() => drm.syncobjQuery({ handles: [] })).toThrow(errno('EINVAL'));
    expect(() => drm.syncobjQuery({ handles: [99] })).toThrow(errno('ENOENT'));
  });

  it('of a plain fence is at 0', () => {
    using r = drmRig();
    const drm = open(r);
    const a = drm.syncobjCreate(SIGNALED);
    expect(drm.syncobjQuery({ handles: [a] })).toEqual([0]);
    expect([lookAt(drm, a, 0), lookAt(drm, a, 1)]).toEqual([0, 'EINVAL']);
  });

  it('takes fences of other objects', () => {
    using r = drmRig();
    const drm = open(r);
    const [a, b] = [drm.syncobjCreate(), drm.syncobjCreate(SIGNALED)];
    drm.syncobjTransfer({ src: b, dst: a, dstPoint: 10 });
    expect(drm.syncobjQuery({ handles: [a] })).toEqual([10]);
    drm.syncobjReset({ handles: [b] });
    drm.syncobjTransfer({ src: a, srcPoint: 7, dst: b });
    expect(look(drm, b)).toBe(0);
    const transfer = (over: object) => answer(() => drm.syncobjTransfer({ src: a, dst: b, ...over }));
    expect(transfer({ pad: 1, dst: 99 })).toBe('EINVAL');
    expect([transfer({ dst: 99, flags: 8 }), transfer({ src: 99 }), transfer({ src: 99, dst: 99 })]).toEqual(
      Array(3).fill('ENOENT'),
    );
    expect([transfer({ flags: 8 }), transfer({ srcPoint: 11 })]).toEqual(['EINVAL', 'EINVAL']);
  });

  it('waits five seconds for a source to come', () => {
    using r = drmRig({ clock: 'manual' });
    const drm = open(r);
    const [a, b] = [drm.syncobjCreate(), drm.syncobjCreate()];
    const ops = { name: 'test.submit', expire: () => drm.syncobjSignal({ handles: [a] }) };
    r.machine.timers.start(ops, 0, 0);
    drm.syncobjTransfer({ src: a, dst: b, flags: WAIT_FOR_SUBMIT });
    expect(look(drm, b)).toBe(0);
  });
});

describe('an eventfd', () => {
  it('is told once the point has signalled, or when it has already', () => {
    using r = drmRig();
    const drm = open(r);
    const a = drm.syncobjCreate();
    const event = EventFd.create(r.machine);
    const fd = r.fds.install(event.file);
    const isReady = () => (event.file.ops.poll!(event.file, undefined) & PollEvents.IN) !== 0;
    drm.syncobjEventfd({ handle: a, fd, point: 1 });
    expect(isReady()).toBe(false);
    drm.syncobjTimelineSignal({ handles: [a], points: [1] });
    expect(event.read()).toBe(1n);
    drm.syncobjEventfd({ handle: a, fd, point: 1 });
    expect(event.read()).toBe(1n);
    const ask = (over: object) => answer(() => drm.syncobjEventfd({ handle: a, fd, ...over }));
    expect([ask({ handle: 99 }), ask({ fd: -1 }), ask({ fd: 0 })]).toEqual(['ENOENT', 'EBADF', 'EINVAL']);
    expect([ask({ flags: 0x100 }), ask({ pad: 1, handle: 99 })]).toEqual(['EINVAL', 'EINVAL']);
  });

  it('that is never told goes with the object', () => {
    using r = drmRig();
    const drm = open(r);
    const a = drm.syncobjCreate();
    const fd = r.fds.install(EventFd.create(r.machine).file);
    drm.syncobjEventfd({ handle: a, fd, point: 3 });
    expect(r.machine.verify()).toMatchObject({ errors: [], leaks: [] });
    r.fds.close(fd);
    drm.syncobjDestroy({ handle: a });
    expect(r.machine.verify().counts).toMatchObject({ drm_syncobj: 0, 'slab:eventfd': 0 });
  });
});
