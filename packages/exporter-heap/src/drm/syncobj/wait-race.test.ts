import { SyncobjWaitFlags } from '@dmabuf-emu/exporter-heap';
import { setSyncHook } from '@dmabuf-emu/shm';
import { expect, it } from 'vitest';
import { SyncobjStruct } from '#dist/drm/syncobj/syncobj-struct.js';
import { answer, drmRig } from '../drm.fixture.ts';

/** Waits for a point that is submitted when the waiter is about to take the object's lock for the `nth` time. */
function waitWhileSubmitted(nth: number): { submitted: boolean; leaks: readonly string[] } {
  using r = drmRig();
  const { machine } = r;
  const drm = r.open('virtio_gpu');
  const handle = drm.syncobjCreate();
  const slab = machine.slab(SyncobjStruct);
  const lock = slab.at([...slab.live()][0]!) + SyncobjStruct.lock.at;
  let seen = 0;
  let submitted = false;
  const former = setSyncHook((label, at) => {
    if (label !== 'spin.lock' || at !== lock || submitted || ++seen < nth) return;
    submitted = true;
    drm.syncobjTimelineSignal({ handles: [handle], points: [1] });
  });
  try {
    const flags = SyncobjWaitFlags.WAIT_FOR_SUBMIT;
    answer(() => drm.syncobjWait({ handles: [handle], points: [1], flags, timeoutNs: machine.clock.nowNs() + 1e5 }));
  } finally {
    setSyncHook(former);
  }
  drm.syncobjDestroy({ handle });
  return { submitted, leaks: machine.verify().leaks };
}

it('a point that is submitted while a wait gives up is not held on to', () => {
  let times = 1;
  for (; ; times++) {
    const { submitted, leaks } = waitWhileSubmitted(times);
    expect(leaks.filter((leak) => leak.startsWith('dma_fence'))).toEqual([]);
    if (!submitted) break;
  }
  expect(times).toBeGreaterThan(2);
});
