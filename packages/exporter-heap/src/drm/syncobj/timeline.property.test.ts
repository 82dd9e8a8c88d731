import { SwSyncTimeline } from '@dmabuf-emu/core';
import { SyncobjFdFlags, SyncobjWaitFlags } from '@dmabuf-emu/exporter-heap';
import { propertyRuns, propertyTimeoutMs } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { answer, drmRig } from '../drm.fixture.ts';

const { WAIT_FOR_SUBMIT, WAIT_AVAILABLE } = SyncobjWaitFlags;
const IMPORT = SyncobjFdFlags.SYNC_FILE | SyncobjFdFlags.TIMELINE;

/** Points to add, each so much after the one before, by fences of one of two timelines that move on in between. */
const step = fc.oneof(
  fc.record({ do: fc.constant('add' as const), after: fc.integer({ min: 1, max: 3 }), timeline: fc.nat(1) }),
  fc.record({ do: fc.constant('signal' as const), after: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ do: fc.constant('go on' as const), timeline: fc.nat(1) }),
);

it('a timeline has come as far as everything before has ended', { timeout: propertyTimeoutMs(120_000) }, () => {
  let pending = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 3, maxLength: 25 }), (steps) => {
      using r = drmRig();
      const drm = r.open('virtio_gpu');
      const timelines = [0, 1].map(() => SwSyncTimeline.create(r.machine));
      for (const { file } of timelines) r.fds.install(file);
      const values = [0, 0];
      const handle = drm.syncobjCreate();
      const points: { point: number; ended: () => boolean }[] = [];
      const wait = (point: number, flags = 0) =>
        answer(() => drm.syncobjWait({ handles: [handle], points: [point], timeoutNs: 0, flags }));
      for (const one of steps) {
        const last = points.at(-1)?.point ?? 0;
        if (one.do === 'go on') {
          timelines[one.timeline]!.inc();
        } else if (one.do === 'signal') {
          drm.syncobjTimelineSignal({ handles: [handle], points: [last + one.after] });
          points.push({ point: last + one.after, ended: () => true });
        } else {
          const value = ++values[one.timeline]!;
          const timeline = timelines[one.timeline]!;
          const fd = timeline.createFenceFd(value);
          drm.syncobjFdToHandle(fd, { handle, flags: IMPORT, point: last + one.after });
          r.fds.close(fd);
          points.push({ point: last + one.after, ended: () => timeline.value >= value });
        }
        const firstPending = points.findIndex(({ ended }) => !ended());
        const done = points.slice(0, firstPending < 0 ? points.length : firstPending);
        const reached = done.at(-1)?.point ?? 0;
        const end = points.at(-1)?.point ?? 0;
        if (firstPending >= 0) pending++;
        expect(drm.syncobjQuery({ handles: [handle] })).toEqual([reached]);
        expect(drm.syncobjQuery({ handles: [handle], flags: 1 })).toEqual([end]);
        for (let point = 1; point <= end + 1; point++) {
          const covering = points.find((known) => known.point >= point);
          const ended = covering !== undefined && covering.point <= reached;
          expect(wait(point), `point ${point} of ${end}`).toBe(covering === undefined ? 'EINVAL' : ended ? 0 : 'ETIME');
          expect(wait(point, WAIT_FOR_SUBMIT)).toBe(ended ? 0 : 'ETIME');
          expect(wait(point, WAIT_AVAILABLE)).toBe(covering === undefined ? 'ETIME' : 0);
        }
      }
    }),
    { numRuns: propertyRuns(60) },
  );
  expect(pending).toBeGreaterThan(60);
});
