import { describe, expect, it } from 'vitest';
import { answer, BOTH, drmRig, SMALL } from '../drm.fixture.ts';
import { errno } from '../../testing/rig.fixture.ts';

const U32_MAX = 0xffff_ffff;

describe('handles', () => {
  it('are the lowest number that is free, from 1', () => {
    using r = drmRig();
    const drm = r.open();
    const [a, b, c] = [1, 2, 3].map(() => drm.createDumb(SMALL).handle) as [number, number, number];
    expect([a, b, c]).toEqual([1, 2, 3]);
    drm.gemClose(b);
    drm.gemClose(a);
    expect([1, 2, 3].map(() => drm.createDumb(SMALL).handle)).toEqual([1, 2, 4]);
    const many = Array.from({ length: 100 }, () => drm.createDumb(SMALL).handle);
    expect(many).toEqual(Array.from({ length: 100 }, (_, i) => i + 5));
  });

  it.each([0, 99, U32_MAX])('close with EINVAL when nothing has number %i, other calls say ENOENT', (handle) => {
    using r = drmRig();
    const drm = r.open();
    expect(() => drm.gemClose(handle)).toThrow(errno('EINVAL'));
    expect(() => drm.gemFlink(handle)).toThrow(errno('ENOENT'));
    expect(() => drm.primeHandleToFd(handle)).toThrow(errno('ENOENT'));
    expect(() => drm.vgemFenceAttach({ handle })).toThrow(errno('ENOENT'));
  });
});

describe('names', () => {
  it('open the object in other files, with a new handle each time', () => {
    using r = drmRig();
    const [g, k] = [r.open(), r.open()];
    const { handle } = g.createDumb(SMALL);
    const name = g.gemFlink(handle);
    expect([name, g.gemFlink(handle)]).toEqual([1, 1]);
    expect(k.gemOpen(name)).toEqual({ handle: 1, size: 4096 });
    expect(k.gemOpen(name)).toEqual({ handle: 2, size: 4096 });
    expect(g.gemOpen(name)).toEqual({ handle: 2, size: 4096 });
    expect(() => k.gemOpen(9999)).toThrow(errno('ENOENT'));
    expect(r.same(g.primeHandleToFd(handle, BOTH), k.primeHandleToFd(1, BOTH))).toBe(true);
    g.gemClose(handle);
    expect(k.gemOpen(name)).toEqual({ handle: 3, size: 4096 });
  });

  it('end with the last handle, and the object lives on in its dma-buf', () => {
    using r = drmRig();
    const g = r.open();
    const { handle } = g.createDumb(SMALL);
    const name = g.gemFlink(handle);
    const fd = g.primeHandleToFd(handle, BOTH);
    g.gemClose(handle);
    expect(() => g.gemOpen(name)).toThrow(errno('ENOENT'));
    expect(g.primeFdToHandle(fd)).toBe(1);
    expect(g.gemFlink(1)).toBe(1);
  });

  it('are of one device', () => {
    using r = drmRig();
    const name = ((g) => g.gemFlink(g.createDumb(SMALL).handle))(r.open('vgem'));
    expect(() => r.open('vkms').gemOpen(name)).toThrow(errno('ENOENT'));
  });
});

describe('changing a handle', () => {
  it('moves the object and what is known of its dma-buf', () => {
    using r = drmRig();
    const g = r.open();
    const { handle } = g.createDumb(SMALL);
    const fd = g.primeHandleToFd(handle, BOTH);
    g.gemChangeHandle(handle, 7);
    expect(g.primeFdToHandle(fd)).toBe(7);
    expect(r.count(fd)).toBe(3);
    expect(() => g.gemClose(handle)).toThrow(errno('EINVAL'));
    expect(() => g.gemChangeHandle(99, 8)).toThrow(errno('ENOENT'));
    const other = g.createDumb(SMALL).handle;
    expect(() => g.gemChangeHandle(other, 7)).toThrow(errno('ENOSPC'));
    expect(() => g.gemChangeHandle(other, 0x8000_0000)).toThrow(errno('EINVAL'));
    g.gemChangeHandle(other, other);
    g.gemChangeHandle(other, 300);
    g.gemChangeHandle(300, 0);
    expect([g.gemFlink(0), g.createDumb(SMALL).handle]).toEqual([1, 1]);
  });

  it.each(['7.3', '6.12'] as const)('is switched off in %s', (kernel) => {
    using r = drmRig({ kernel });
    const g = r.open();
    const { handle } = g.createDumb(SMALL);
    expect(() => g.gemChangeHandle(handle, 7)).toThrow(errno('EINVAL'));
    expect(() => g.gemChangeHandle(99, 8)).toThrow(errno('EINVAL'));
  });
});

describe('a render node', () => {
  it('has no dumb buffers and no names, but imports and fences', () => {
    using r = drmRig();
    const [render, card] = [r.open('vgem', { render: true }), r.open()];
    expect(answer(() => render.createDumb({ width: 0, height: 0, bpp: 0 }))).toBe('EACCES');
    const handle = render.primeFdToHandle(card.primeHandleToFd(card.createDumb(SMALL).handle, BOTH));
    render.vgemFenceSignal({ fence: render.vgemFenceAttach({ handle, flags: 1 }) });
    const calls = [() => render.gemFlink(handle), () => render.mapDumb(handle), () => render.destroyDumb(handle)];
    expect([...calls, () => render.gemOpen(1)].map((call) => answer(call))).toEqual(Array(4).fill('EACCES'));
  });

  it('is missing where the driver has none', () => {
    using r = drmRig();
    expect(() => r.open('vkms', { render: true })).toThrow(errno('ENODEV'));
  });
});
