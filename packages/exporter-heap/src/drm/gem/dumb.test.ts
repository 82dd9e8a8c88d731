import type { DumbRequest } from '@dmabuf-emu/exporter-heap';
import { propertyRuns } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { answer, drmRig, SMALL } from '../drm.fixture.ts';
import { errno } from '../../testing/rig.fixture.ts';

const U32_MAX = 0xffff_ffff;

/** What a kernel answers, in unlimited numbers. */
function expected({ width, height, bpp }: DumbRequest): { pitch: number; size: number } | string {
  if (width === 0 || height === 0 || bpp === 0 || bpp > U32_MAX - 8) return 'EINVAL';
  const [w, h] = [BigInt(width), BigInt(height)];
  const bytesOfPixel = (BigInt(bpp) + 7n) / 8n;
  const size = w * h * bytesOfPixel;
  if (size > 0xffff_f000n) return 'EINVAL';
  const pitch = [1, 2, 4].includes(bpp) ? (w * BigInt(bpp) + 7n) / 8n : w * bytesOfPixel;
  return { pitch: Number(pitch), size: Number((pitch * h + 4095n) / 4096n) * 4096 };
}

describe('a dumb buffer', () => {
  it.each([
    [
      { width: 63, height: 1, bpp: 1 },
      { pitch: 8, size: 4096 },
    ],
    [
      { width: 65, height: 16, bpp: 32 },
      { pitch: 260, size: 8192 },
    ],
    [
      { width: 63, height: 1, bpp: 33 },
      { pitch: 315, size: 4096 },
    ],
    [
      { width: 0x8000_0000, height: 1, bpp: 8 },
      { pitch: 0x8000_0000, size: 0x8000_0000 },
    ],
    [
      { width: 0x8000_0000, height: 1, bpp: 1 },
      { pitch: 0x1000_0000, size: 0x1000_0000 },
    ],
    [{ width: U32_MAX, height: 1, bpp: 1 }, 'EINVAL'],
    [{ width: 1, height: U32_MAX, bpp: 24 }, 'EINVAL'],
    [{ width: 1, height: 1, bpp: U32_MAX }, 'EINVAL'],
  ])('of %j has the size that was recorded', (request, size) => {
    using r = drmRig();
    const made = answer(() => r.open().createDumb(request));
    expect(made).toEqual(typeof size === 'string' ? size : { handle: 1, ...size });
    expect(expected(request)).toEqual(size);
  });

  it('of any size has pitch and size without overflow, or is refused', () => {
    using r = drmRig();
    const drm = r.open();
    const number = fc.oneof(fc.nat(70), fc.constantFrom(0, 1, 1024, 65536, 0x8000_0000, U32_MAX), fc.nat(U32_MAX));
    const bits = fc.oneof(fc.constantFrom(0, 1, 2, 4, 8, 12, 15, 16, 24, 30, 32, 33, 64), fc.nat(200));
    let made = 0;
    fc.assert(
      fc.property(number, number, bits, (width, height, bpp) => {
        const request = { width, height, bpp };
        const wanted = expected(request);
        const found = answer(() => drm.createDumb(request));
        expect(found).toEqual(typeof wanted === 'string' ? wanted : { handle: 1, ...wanted });
        if (typeof found === 'string') return;
        drm.destroyDumb(found.handle);
        made++;
      }),
      { numRuns: propertyRuns(500) },
    );
    expect(made).toBeGreaterThan(50);
  });

  it('ignores flags, takes no memory, and is gone with its handle', () => {
    using r = drmRig();
    const drm = r.open();
    expect(drm.createDumb({ ...SMALL, flags: U32_MAX })).toEqual({ handle: 1, pitch: 256, size: 4096 });
    expect(r.usedPages).toBe(0);
    drm.destroyDumb(1);
    expect(() => drm.destroyDumb(1)).toThrow(errno('EINVAL'));
    expect(() => drm.mapDumb(1)).toThrow(errno('ENOENT'));
    expect(r.machine.verify()).toMatchObject({ errors: [], leaks: [], counts: { drm_gem_object: 0 } });
  });

  it('of virtio-gpu has 32 bits a pixel', () => {
    using r = drmRig();
    const drm = r.open('virtio_gpu');
    expect(() => drm.createDumb({ width: 64, height: 16, bpp: 16 })).toThrow(errno('EINVAL'));
    expect(drm.createDumb(SMALL)).toEqual({ handle: 1, pitch: 256, size: 4096 });
  });

  it.each([
    [
      { width: 63, height: 1, bpp: 33 },
      { handle: 1, pitch: 260, size: 4096 },
    ],
    [
      { width: 65, height: 16, bpp: 33 },
      { handle: 1, pitch: 269, size: 8192 },
    ],
    [{ width: 0x8000_0000, height: 1, bpp: 8 }, 'ENOSPC'],
    [
      { width: 0x8000_0000, height: 1, bpp: 1 },
      { handle: 1, pitch: 0x1000_0000, size: 0x1000_0000 },
    ],
  ])('in 6.12 has a pitch modulo 2^32: %j', (request, size) => {
    using r = drmRig({ kernel: '6.12' });
    expect(answer(() => r.open().createDumb(request))).toEqual(size);
  });
});

describe('mapping by fake offset', () => {
  it('shows one offset for an object, shows its bytes, and outlives the handle', () => {
    using r = drmRig();
    const drm = r.open();
    const { handle } = drm.createDumb(SMALL);
    const offset = drm.mapDumb(handle);
    expect([offset, drm.mapDumb(handle)]).toEqual([0x1_0000_0000, 0x1_0000_0000]);
    const map = (over: object) => answer(() => drm.mmap({ offset, length: 4096, ...over }));
    const area = drm.mmap({ offset, length: 4096 });
    const readOnly = drm.mmap({ offset, length: 1, writable: false });
    expect(map({ length: 8192 })).toBe('EINVAL');
    expect(map({ offset: 0 })).toBe('EINVAL');
    expect(map({ offset: offset + 4096 })).toBe('EINVAL');
    expect(map({ offset: 5 })).toBe('EINVAL');
    expect(map({ shared: false })).toBe('EINVAL');
    area.write(0, Uint8Array.of(0x21, 0x22));
    expect([...readOnly.read(0, 3)]).toEqual([0x21, 0x22, 0]);
    expect(() => readOnly.write(0, Uint8Array.of(1))).toThrow(errno('EFAULT'));
    drm.destroyDumb(handle);
    expect([...area.read(0, 2)]).toEqual([0x21, 0x22]);
    expect(map({})).toBe('EACCES');
    area.unmap();
    readOnly.unmap();
    expect(map({})).toBe('EINVAL');
    expect(r.usedPages).toBe(0);
  });

  it('needs a handle in the same file', () => {
    using r = drmRig();
    const [drm, other] = [r.open(), r.open()];
    const { handle } = drm.createDumb(SMALL);
    const offset = drm.mapDumb(handle);
    expect(() => other.mmap({ offset, length: 4096 })).toThrow(errno('EACCES'));
    other.gemOpen(drm.gemFlink(handle));
    const area = other.mmap({ offset, length: 4096 });
    area.unmap();
  });

  it('gives a new object the smallest gap that is large enough', () => {
    using r = drmRig();
    const drm = r.open();
    const make = (pages: number): { handle: number; page: number } => {
      const { handle } = drm.createDumb({ width: 1024 * pages, height: 1, bpp: 32 });
      return { handle, page: drm.mapDumb(handle) / 4096 - 0x10_0000 };
    };
    const made = [4, 1, 2, 1, 1].map(make);
    expect(made.map(({ page }) => page)).toEqual([0, 4, 5, 7, 8]);
    drm.gemClose(made[0]!.handle);
    drm.gemClose(made[2]!.handle);
    expect([make(2).page, make(3).page, make(2).page]).toEqual([5, 0, 9]);
  });

  it('fails with ENOMEM when memory ends, which the object gives back', () => {
    using r = drmRig({ memoryBytes: 1 << 20 });
    const drm = r.open();
    const { handle } = drm.createDumb({ width: 256, height: 256, bpp: 32 });
    const large = drm.createDumb({ width: 1024, height: 1024, bpp: 32 }).handle;
    expect(() => drm.mmap({ offset: drm.mapDumb(large), length: 4096 })).toThrow(errno('ENOMEM'));
    drm.destroyDumb(large);
    expect(r.usedPages).toBe(0);
    const area = drm.mmap({ offset: drm.mapDumb(handle), length: 4096 });
    expect(r.usedPages).toBe(64);
    area.unmap();
  });
});
