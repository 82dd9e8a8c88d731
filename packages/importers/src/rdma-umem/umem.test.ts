import { OpenFlags } from '@dmabuf-emu/core';
import { gpuImporter, odpImporter, type Umem, umemGet, umemGetPinned } from '@dmabuf-emu/importers';
import { laxExporter, rdmaLike, revocableOf, revoke, vfioLike } from '#dist/testing/bar-exporter.test-worker.js';
import { buffer, BYTES, NIC, pciOf } from '#dist/testing/rig.test-worker.js';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';

const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });

/** Runs `fn` with a window of a fresh buffer. */
function withUmem(window: { offset: number; length: number }, fn: (umem: Umem) => void, split = 0): void {
  using machine = testMachine();
  const device = pciOf(machine, true).function(NIC).device;
  const dmabuf = buffer(machine, vfioLike, { split });
  const umem = umemGet(machine, { device, dmabuf, ...window }, odpImporter);
  fn(umem);
  umem.release();
  dmabuf.put();
}

// spec: drivers §6.1
describe('a umem', () => {
  it.each([
    ['beyond the buffer', { offset: 4096, length: BYTES }, 'EINVAL'],
    ['of no bytes', { offset: 0, length: 0 }, 'EINVAL'],
    ['that overflows', { offset: 2 ** 53, length: 2 ** 53 }, 'EINVAL'],
    ['with a negative offset', { offset: -4096, length: 4096 }, 'EINVAL'],
  ])('refuses a window %s', (_, window, code) => {
    using machine = testMachine();
    const device = pciOf(machine, true).function(NIC).device;
    const dmabuf = buffer(machine);
    expect(() => umemGet(machine, { device, dmabuf, ...window }, odpImporter)).toThrow(kernelError(code));
    expect(dmabuf.refs).toBe(1);
    dmabuf.put();
  });

  it('takes a file descriptor, and refuses one that is none', () => {
    using machine = testMachine();
    const device = pciOf(machine, true).function(NIC).device;
    const dmabuf = buffer(machine).get();
    const fd = dmabuf.fd(OpenFlags.CLOEXEC);
    const umem = umemGet(machine, { device, dmabuf: fd, offset: 0, length: 4096 }, odpImporter);
    expect(umem.dmabuf.ref).toBe(dmabuf.ref);
    expect(() => umemGet(machine, { device, dmabuf: 999, offset: 0, length: 4096 }, odpImporter)).toThrow(
      kernelError('EBADF'),
    );
    umem.release();
    dmabuf.put();
  });

  it('maps only its window of several ranges, and maps once', () => {
    withUmem(
      { offset: 0x1f010, length: 0x2000 },
      (umem) => {
        umem.resv.with(() => {
          umem.mapPages();
          const table = umem.table!;
          const window = umem.window();
          expect(window).toMatchObject({ start: 0x1f000, firstPage: 0x1f, pages: 3 });
          umem.mapPages();
          expect(umem.table!.ref).toBe(table.ref);
          const whole = [...table.entries()];
          umem.unmapPages();
          umem.unmapPages();
          expect(table.alive).toBe(false);
          expect(whole.length).toBeGreaterThan(0);
        });
        expect(revocableOf(umem.dmabuf).mapCount).toBe(1);
      },
      0x20000,
    );
  });

  it('is not mapped again once it was released or revoked', () => {
    withUmem({ offset: 0, length: 4096 }, (umem) => {
      umem.resv.with(() => {
        umem.mapPages();
        umem.revokeLocked();
        umem.revokeLocked();
        expect(umem).toMatchObject({ mapped: false, revoked: true });
        expect(() => umem.mapPages()).toThrow(kernelError('EINVAL'));
      });
    });
  });
});

// spec: drivers §6.2, §5.7
describe('a pinned umem', () => {
  it('is refused where it could not be taken back, and where nothing can be pinned', () => {
    using machine = testMachine();
    const device = pciOf(machine, true).function(NIC).device;
    for (const exporter of [vfioLike, rdmaLike]) {
      const dmabuf = buffer(machine, exporter);
      expect(() => umemGetPinned(machine, { device, dmabuf, offset: 0, length: BYTES })).toThrow(
        kernelError('EOPNOTSUPP'),
      );
      expect(dmabuf.refs).toBe(1);
      dmabuf.put();
    }
    const dmabuf = buffer(machine, laxExporter);
    const umem = umemGetPinned(machine, { device, dmabuf, offset: 0, length: BYTES });
    expect(umem).toMatchObject({ mapped: true, pinned: true });
    expect(umem.attachment.pins).toBe(1);
    umem.release();
    dmabuf.put();
  });
});

describe('the callback of a umem that is gone', () => {
  it('does nothing', () => {
    using machine = testMachine();
    const pci = pciOf(machine, true);
    const dmabuf = buffer(machine);
    const attachment = dmabuf.attachDynamic(pci.function(NIC).device, odpImporter, 12345);
    const gpu = dmabuf.attachDynamic(pci.function(NIC).device, gpuImporter, 12345);
    expect(() => revoke(dmabuf)).not.toThrow();
    dmabuf.detach(attachment);
    dmabuf.detach(gpu);
    dmabuf.put();
  });
});
