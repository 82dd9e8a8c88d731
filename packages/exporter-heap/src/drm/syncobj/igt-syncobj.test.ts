import { SwSyncTimeline } from '@dmabuf-emu/core';
import { type DrmFile, SyncobjFdFlags, SyncobjWaitFlags } from '@dmabuf-emu/exporter-heap';
import { describe, expect, it } from 'vitest';
import { answer, drmRig, type DrmRig } from '../drm.fixture.ts';

const { WAIT_ALL, WAIT_FOR_SUBMIT, WAIT_AVAILABLE } = SyncobjWaitFlags;
const U32_MAX = 0xffff_ffff;

/** Subtests of IGT's syncobj_timeline: flags, then states of the objects waited for; the prefix says how it ends. */
const TIMELINE_WAITS = `
  invalid-multi-wait-unsubmitted
  etime-multi-wait-for-submit-unsubmitted
  invalid-multi-wait-all-unsubmitted
  etime-multi-wait-all-for-submit-unsubmitted
  etime-multi-wait-available-unsubmitted
  etime-multi-wait-for-submit-available-unsubmitted
  etime-multi-wait-all-available-unsubmitted
  etime-multi-wait-all-for-submit-available-unsubmitted
  etime-multi-wait-submitted
  etime-multi-wait-for-submit-submitted
  etime-multi-wait-all-submitted
  etime-multi-wait-all-for-submit-submitted
  multi-wait-available-submitted
  multi-wait-for-submit-available-submitted
  multi-wait-all-available-submitted
  multi-wait-all-for-submit-available-submitted
  invalid-multi-wait-unsubmitted-submitted
  etime-multi-wait-for-submit-unsubmitted-submitted
  invalid-multi-wait-all-unsubmitted-submitted
  etime-multi-wait-all-for-submit-unsubmitted-submitted
  multi-wait-available-unsubmitted-submitted
  multi-wait-for-submit-available-unsubmitted-submitted
  etime-multi-wait-all-available-unsubmitted-submitted
  etime-multi-wait-all-for-submit-available-unsubmitted-submitted
  multi-wait-signaled
  multi-wait-for-submit-signaled
  multi-wait-all-signaled
  multi-wait-all-for-submit-signaled
  multi-wait-available-signaled
  multi-wait-for-submit-available-signaled
  multi-wait-all-available-signaled
  multi-wait-all-for-submit-available-signaled
  invalid-multi-wait-unsubmitted-signaled
  multi-wait-for-submit-unsubmitted-signaled
  invalid-multi-wait-all-unsubmitted-signaled
  etime-multi-wait-all-for-submit-unsubmitted-signaled
  multi-wait-available-unsubmitted-signaled
  multi-wait-for-submit-available-unsubmitted-signaled
  etime-multi-wait-all-available-unsubmitted-signaled
  etime-multi-wait-all-for-submit-available-unsubmitted-signaled
  multi-wait-submitted-signaled
  multi-wait-for-submit-submitted-signaled
  etime-multi-wait-all-submitted-signaled
  etime-multi-wait-all-for-submit-submitted-signaled
  multi-wait-available-submitted-signaled
  multi-wait-for-submit-available-submitted-signaled
  multi-wait-all-available-submitted-signaled
  multi-wait-all-for-submit-available-submitted-signaled
  invalid-multi-wait-unsubmitted-submitted-signaled
  multi-wait-for-submit-unsubmitted-submitted-signaled
  invalid-multi-wait-all-unsubmitted-submitted-signaled
  etime-multi-wait-all-for-submit-unsubmitted-submitted-signaled
  multi-wait-available-unsubmitted-submitted-signaled
  multi-wait-for-submit-available-unsubmitted-submitted-signaled
  etime-multi-wait-all-available-unsubmitted-submitted-signaled`;

/** Those of syncobj_wait; where something is not signalled that has to be, they expect ETIME. */
const BINARY_WAITS = `
  invalid-single-wait-unsubmitted
  single-wait-for-submit-unsubmitted
  invalid-single-wait-all-unsubmitted
  single-wait-all-for-submit-unsubmitted
  single-wait-submitted
  single-wait-for-submit-submitted
  single-wait-all-submitted
  single-wait-all-for-submit-submitted
  single-wait-signaled
  single-wait-for-submit-signaled
  single-wait-all-signaled
  single-wait-all-for-submit-signaled
  invalid-multi-wait-unsubmitted
  multi-wait-for-submit-unsubmitted
  invalid-multi-wait-all-unsubmitted
  multi-wait-all-for-submit-unsubmitted
  multi-wait-submitted
  multi-wait-for-submit-submitted
  multi-wait-all-submitted
  multi-wait-all-for-submit-submitted
  invalid-multi-wait-unsubmitted-submitted
  multi-wait-for-submit-unsubmitted-submitted
  invalid-multi-wait-all-unsubmitted-submitted
  multi-wait-all-for-submit-unsubmitted-submitted
  multi-wait-signaled
  multi-wait-for-submit-signaled
  multi-wait-all-signaled
  multi-wait-all-for-submit-signaled
  invalid-multi-wait-unsubmitted-signaled
  multi-wait-for-submit-unsubmitted-signaled
  invalid-multi-wait-all-unsubmitted-signaled
  multi-wait-all-for-submit-unsubmitted-signaled
  multi-wait-submitted-signaled
  multi-wait-for-submit-submitted-signaled
  multi-wait-all-submitted-signaled
  multi-wait-all-for-submit-submitted-signaled
  invalid-multi-wait-unsubmitted-submitted-signaled
  multi-wait-for-submit-unsubmitted-submitted-signaled
  invalid-multi-wait-all-unsubmitted-submitted-signaled`;

const STATES = ['unsubmitted', 'submitted', 'signaled'] as const;
type State = (typeof STATES)[number];

/** What a subtest's name asks for. */
function parse(name: string): { flags: number; states: State[] } {
  const rest = name.replace(/for-submit/, 'forsubmit').split('-');
  const flag = (word: string, bit: number): number => (rest.includes(word) ? bit : 0);
  const flags = flag('all', WAIT_ALL) | flag('forsubmit', WAIT_FOR_SUBMIT) | flag('available', WAIT_AVAILABLE);
  return { flags, states: STATES.filter((state) => rest.includes(state)) };
}

function names(list: string): string[] {
  return list
    .trim()
    .split('\n')
    .map((name) => name.trim());
}

/** A sync object in a state; of a timeline, point 1 is. */
function objectIn(r: DrmRig, drm: DrmFile, state: State, isTimeline: boolean): number {
  const handle = drm.syncobjCreate();
  if (state === 'unsubmitted') return handle;
  const timeline = SwSyncTimeline.create(r.machine);
  r.fds.install(timeline.file);
  const fd = timeline.createFenceFd(1);
  const { SYNC_FILE, TIMELINE } = SyncobjFdFlags;
  drm.syncobjFdToHandle(
    fd,
    isTimeline ? { handle, flags: SYNC_FILE | TIMELINE, point: 1 } : { handle, flags: SYNC_FILE },
  );
  if (state === 'signaled') timeline.inc();
  return handle;
}

/** Looks at several objects in each of the states. */
function waitFor(states: readonly State[], flags: number, isTimeline: boolean): number | string | null {
  using r = drmRig();
  const drm = r.open('virtio_gpu');
  const handles = [0, 1, 2].flatMap(() => states.map((state) => objectIn(r, drm, state, isTimeline)));
  const points = isTimeline ? { points: handles.map(() => 1) } : {};
  return answer(() => drm.syncobjWait({ handles, timeoutNs: 0, flags, ...points }));
}

describe('IGT syncobj_timeline', () => {
  it.each(names(TIMELINE_WAITS))('%s', (name) => {
    const { flags, states } = parse(name);
    const enough = (flags & WAIT_AVAILABLE) === 0 ? ['signaled'] : ['submitted', 'signaled'];
    const first = states.findIndex((state) => enough.includes(state));
    const expected = name.startsWith('invalid') ? 'EINVAL' : name.startsWith('etime') ? 'ETIME' : first;
    expect(waitFor(states, flags, true)).toBe(expected);
  });

  it('host-signal-points, 32bits-limit: points may be far apart', () => {
    using r = drmRig();
    const drm = r.open('virtio_gpu');
    const handles = [drm.syncobjCreate()];
    for (const point of [1, 5, 2 ** 31 - 1, 2 ** 32, 2 ** 32 + 2 ** 31 + 7, 2 ** 50]) {
      drm.syncobjTimelineSignal({ handles, points: [point] });
      expect(drm.syncobjQuery({ handles })).toEqual([point]);
      for (const at of [point - 1, point]) {
        expect(drm.syncobjWait({ handles, points: [at], timeoutNs: 0 })).toBe(0);
      }
      expect(answer(() => drm.syncobjWait({ handles, points: [point + 1], timeoutNs: 0 }))).toBe('EINVAL');
    }
  });

  it('signal-point-0: signals the object, and is no progress', () => {
    using r = drmRig();
    const drm = r.open('virtio_gpu');
    const handles = [drm.syncobjCreate()];
    drm.syncobjTimelineSignal({ handles, points: [0] });
    expect(drm.syncobjQuery({ handles })).toEqual([0]);
    expect(drm.syncobjWait({ handles, points: [0], timeoutNs: 0 })).toBe(0);
    expect(drm.syncobjWait({ handles, timeoutNs: 0 })).toBe(0);
  });

  it('device-submit-unordered: a late point below the last one joins it, and holds the end back', () => {
    using r = drmRig();
    const drm = r.open('virtio_gpu');
    const timeline = SwSyncTimeline.create(r.machine);
    r.fds.install(timeline.file);
    const handle = drm.syncobjCreate();
    const add = (value: number, point: number) =>
      drm.syncobjFdToHandle(timeline.createFenceFd(value), { handle, flags: 3, point });
    const wait = (point: number) => answer(() => drm.syncobjWait({ handles: [handle], points: [point], timeoutNs: 0 }));
    add(1, 10);
    add(2, 5);
    timeline.inc();
    expect([wait(5), wait(10)]).toEqual(['ETIME', 'ETIME']);
    timeline.inc();
    expect([wait(5), wait(10), drm.syncobjQuery({ handles: [handle] })]).toEqual([0, 0, [10]]);
  });
});

describe('IGT syncobj_wait', () => {
  it.each(names(BINARY_WAITS))('%s', (name) => {
    const { flags, states } = parse(name);
    const first = states.indexOf('signaled');
    const isDone = (flags & WAIT_ALL) === 0 ? first >= 0 : states.every((state) => state === 'signaled');
    const expected = name.startsWith('invalid') ? 'EINVAL' : isDone ? first : 'ETIME';
    expect(waitFor(states, flags, false)).toBe(expected);
  });

  it('invalid-reset and invalid-signal: no handles, one that is none, a pad', () => {
    using r = drmRig();
    const drm = r.open('virtio_gpu');
    const good = drm.syncobjCreate();
    for (const call of [drm.syncobjReset.bind(drm), drm.syncobjSignal.bind(drm)]) {
      const asked = [{ handles: [] }, { handles: [0] }, { handles: [good, U32_MAX] }, { handles: [good], pad: 1 }];
      expect(asked.map((request) => answer(() => call(request)))).toEqual(['EINVAL', 'ENOENT', 'ENOENT', 'EINVAL']);
    }
    expect(drm.syncobjWait({ handles: [], timeoutNs: 0 })).toBe(null);
  });

  it('reset-multiple-signaled, reset-unsignaled: whatever is in them is gone', () => {
    using r = drmRig();
    const drm = r.open('virtio_gpu');
    const handles = (['signaled', 'submitted', 'unsubmitted'] as const).map((state) => objectIn(r, drm, state, false));
    drm.syncobjReset({ handles });
    for (const handle of handles) {
      expect(answer(() => drm.syncobjWait({ handles: [handle], timeoutNs: 0 }))).toBe('EINVAL');
    }
  });
});
