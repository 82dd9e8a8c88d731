import { DmaBuf, Fence, poll, pollAsync, PollEvents, ResvUsage } from '@dmabuf-emu/core';
import { VGEM_FENCE_TIMEOUT_MS, VGEM_FENCE_WRITE } from '@dmabuf-emu/exporter-heap';
import { describe, expect, it } from 'vitest';
import { answer, BOTH, drmRig, type DrmRig, SMALL } from '../drm.fixture.ts';
import { errno } from '../../testing/rig.fixture.ts';

const WRITE = { flags: VGEM_FENCE_WRITE };

function objectOf(r: DrmRig) {
  const drm = r.open();
  const { handle } = drm.createDumb(SMALL);
  return { drm, handle, resv: bufferOf(r, drm.primeHandleToFd(handle, BOTH)).resv };
}

/** Borrowed: its descriptor holds it. */
function bufferOf(r: DrmRig, fd: number): DmaBuf {
  const dmabuf = DmaBuf.get(r.machine, fd);
  dmabuf.put();
  return dmabuf;
}

describe('attaching a fence', () => {
  it('checks flags, then pad, then the handle', () => {
    using r = drmRig();
    const { drm, handle } = objectOf(r);
    for (const flags of [2, 3, 0x8000_0000]) {
      expect(() => drm.vgemFenceAttach({ handle: 99, flags })).toThrow(errno('EINVAL'));
    }
    expect(() => drm.vgemFenceAttach({ handle: 99, pad: 1 })).toThrow(errno('EINVAL'));
    expect(() => drm.vgemFenceAttach({ handle: 0 })).toThrow(errno('ENOENT'));
    expect(() => drm.vgemFenceSignal({ fence: 1, flags: 1 })).toThrow(errno('EINVAL'));
    for (const fence of [0, 1, 0xffff_ffff]) expect(() => drm.vgemFenceSignal({ fence })).toThrow(errno('ENOENT'));
    expect(drm.vgemFenceAttach({ handle })).toBe(1);
    expect(() => drm.vgemFenceSignal({ fence: 1, flags: 1 })).toThrow(errno('EINVAL'));
    drm.vgemFenceSignal({ fence: 1 });
    expect(() => drm.vgemFenceSignal({ fence: 1 })).toThrow(errno('ENOENT'));
  });

  it('is for vgem only', () => {
    using r = drmRig();
    const drm = r.open('vkms');
    const { handle } = drm.createDumb(SMALL);
    expect(() => drm.vgemFenceAttach({ handle })).toThrow(errno('EINVAL'));
    expect(() => drm.vgemFenceSignal({ fence: 1 })).toThrow(errno('EINVAL'));
  });

  it('uses no id twice; each file counts for itself', () => {
    using r = drmRig();
    const { drm, handle } = objectOf(r);
    const other = drm.createDumb(SMALL).handle;
    expect([drm.vgemFenceAttach({ handle }), drm.vgemFenceAttach({ handle: other })]).toEqual([1, 2]);
    drm.vgemFenceSignal({ fence: 1 });
    expect(drm.vgemFenceAttach({ handle })).toBe(3);
    const second = r.open();
    expect(() => second.vgemFenceSignal({ fence: 3 })).toThrow(errno('ENOENT'));
    expect(second.vgemFenceAttach({ handle: second.createDumb(SMALL).handle })).toBe(1);
  });

  it('is refused by pending writers, and by pending readers when it is to write', () => {
    using r = drmRig();
    const { drm, handle } = objectOf(r);
    const attach = (flags = 0) => answer(() => drm.vgemFenceAttach({ handle, flags }));
    const signal = (fence: number) => drm.vgemFenceSignal({ fence });
    expect([attach(1), attach(), attach(1)]).toEqual([1, 'EBUSY', 'EBUSY']);
    signal(1);
    expect([attach(), attach(), attach(1)]).toEqual([2, 3, 'EBUSY']);
    signal(2);
    expect(attach(1)).toBe('EBUSY');
    signal(3);
    expect(attach(1)).toBe(4);
    signal(4);
  });

  it('is refused by anybody’s fences', () => {
    using r = drmRig();
    const { drm, handle, resv } = objectOf(r);
    const ops = { name: 'test', getDriverName: () => 'test', getTimelineName: () => 'test' };
    const right = Fence.create(r.machine, { ops, context: 1, seqno: 1 });
    resv.with(() => {
      resv.reserveFences(1);
      resv.addFence(right.fence, ResvUsage.READ);
    });
    const reader = drm.vgemFenceAttach({ handle });
    expect(() => drm.vgemFenceAttach({ handle, ...WRITE })).toThrow(errno('EBUSY'));
    drm.vgemFenceSignal({ fence: reader });
    right.signal();
    expect(drm.vgemFenceAttach({ handle, ...WRITE })).toBe(2);
  });
});

describe('an attached fence', () => {
  it('is in the reservation object as reader or writer, with names until it ends', () => {
    using r = drmRig();
    const { drm, handle, resv } = objectOf(r);
    const reader = drm.vgemFenceAttach({ handle });
    expect([ResvUsage.WRITE, ResvUsage.READ].map((usage) => resv.testSignaled(usage))).toEqual([true, false]);
    const [fence] = resv.getFences(ResvUsage.READ);
    expect([fence!.driverName(), fence!.timelineName(), fence!.seqno]).toEqual(['vgem', 'unbound', 1]);
    drm.vgemFenceSignal({ fence: reader });
    expect([fence!.driverName(), fence!.status()]).toEqual(['detached-driver', 1]);
    fence!.put();
    drm.vgemFenceAttach({ handle, ...WRITE });
    expect(resv.testSignaled(ResvUsage.WRITE)).toBe(false);
  });

  it('is seen by the exporter of an imported buffer', () => {
    using r = drmRig();
    const [g, k] = [r.open('vgem'), r.open('vkms')];
    const fd = k.primeHandleToFd(k.createDumb(SMALL).handle, BOTH);
    const handle = g.primeFdToHandle(fd);
    const { resv } = bufferOf(r, fd);
    const fence = g.vgemFenceAttach({ handle, ...WRITE });
    expect(resv.testSignaled(ResvUsage.WRITE)).toBe(false);
    g.vgemFenceSignal({ fence });
    expect(resv.testSignaled(ResvUsage.READ)).toBe(true);
  });

  it('ends when the file is closed', () => {
    using r = drmRig();
    const { drm, handle, resv } = objectOf(r);
    drm.vgemFenceAttach({ handle, ...WRITE });
    r.close(drm);
    expect(resv.testSignaled(ResvUsage.READ)).toBe(true);
  });

  it('ends by itself after ten seconds; signalling it then says so', () => {
    using r = drmRig({ clock: 'manual' });
    const { drm, handle, resv } = objectOf(r);
    const fence = drm.vgemFenceAttach({ handle, ...WRITE });
    r.machine.clock.advance(VGEM_FENCE_TIMEOUT_MS - 1);
    expect(resv.testSignaled(ResvUsage.WRITE)).toBe(false);
    r.machine.clock.advance(1);
    expect(resv.testSignaled(ResvUsage.WRITE)).toBe(true);
    expect(() => drm.vgemFenceSignal({ fence })).toThrow(errno('ETIMEDOUT'));
    expect(() => drm.vgemFenceSignal({ fence })).toThrow(errno('ENOENT'));
  });

  it('ends a poll of the dma-buf that goes on for longer', async () => {
    using r = drmRig({ clock: 'manual' });
    const { drm, handle } = objectOf(r);
    const fd = drm.primeHandleToFd(handle, BOTH);
    drm.vgemFenceAttach({ handle, ...WRITE });
    const ready = pollAsync(r.machine, [{ fd, events: PollEvents.IN }], { timeoutMs: 3 * VGEM_FENCE_TIMEOUT_MS });
    r.machine.clock.advance(VGEM_FENCE_TIMEOUT_MS - 1);
    expect(poll(r.machine, [{ fd, events: PollEvents.IN }], { timeoutMs: 0 })).toEqual([0]);
    r.machine.clock.advance(1);
    expect(await ready).toEqual([PollEvents.IN]);
  });

  it('that was signalled in time leaves no timer', () => {
    using r = drmRig({ clock: 'manual' });
    const { drm, handle } = objectOf(r);
    drm.vgemFenceSignal({ fence: drm.vgemFenceAttach({ handle }) });
    drm.gemClose(handle);
    for (const { fd } of r.fds.entries()) r.fds.close(fd);
    expect(r.machine.verify().counts['slab:timer_list']).toBe(0);
  });
});
