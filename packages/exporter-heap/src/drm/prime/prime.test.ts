import { bufinfo, defineExporter, DmaBuf, OpenFlags, SgTable } from '@dmabuf-emu/core';
import { DrmFile, Memfd } from '@dmabuf-emu/exporter-heap';
import { KernelError, type Machine } from '@dmabuf-emu/shm';
import { describe, expect, it } from 'vitest';
import { BOTH, drmRig, SMALL } from '../drm.fixture.ts';
import { errno } from '../../testing/rig.fixture.ts';

const { CLOEXEC, RDWR } = OpenFlags;

/** A buffer of a page at 4096 by an exporter of its own; each attachment and mapping is counted. */
function foreignFd(machine: Machine, { refuse = false, size = 4096 } = {}): { fd: number; seen: string[] } {
  const seen: string[] = [];
  const ops = defineExporter({
    name: 'foreign',
    attach: (_dmabuf, attachment) => {
      if (refuse && !attachment.peer2peer) throw new KernelError('EOPNOTSUPP', 'foreign_attach', 'no peer2peer');
      seen.push(`attach ${attachment.device.name}`);
    },
    detach: () => void seen.push('detach'),
    map: () => {
      seen.push('map');
      return SgTable.from(machine, [{ address: 4096, length: 4096 }], 'foreign.map');
    },
    unmap: (_attachment, table) => {
      seen.push('unmap');
      table.free();
    },
    release: () => void seen.push('release'),
    mmap: (_dmabuf, area) => {
      area.ops = { fault: () => machine.memoryBase };
    },
  });
  return { fd: DmaBuf.export(machine, { ops, priv: 1, size, flags: RDWR }).fd(), seen };
}

describe('an export', () => {
  it('is the same dma-buf each time, and a new one once nobody refers to it', () => {
    using r = drmRig();
    const g = r.open();
    const { handle } = g.createDumb(SMALL);
    const [d, e] = [g.primeHandleToFd(handle, BOTH), g.primeHandleToFd(handle, BOTH)];
    expect(r.same(d, e)).toBe(true);
    const lines = ['pos:\t0', 'flags:\t02000002', 'size:\t4096', 'count:\t4', 'exp_name:\tdrm'];
    expect(r.fds.fdinfo(d)).toEqual(lines);
    r.fds.close(d);
    expect(r.count(e)).toBe(3);
  });

  it.each([
    [0, 0],
    [CLOEXEC, 0],
    [RDWR, RDWR],
    [BOTH, RDWR],
  ])('with flags %i has access mode %i', (flags, mode) => {
    using r = drmRig();
    const g = r.open();
    const fd = g.primeHandleToFd(g.createDumb(SMALL).handle, flags);
    const entry = r.fds.entries().find((found) => found.fd === fd)!;
    expect([entry.file.flags, entry.cloexec]).toEqual([mode, (flags & CLOEXEC) !== 0]);
  });

  it.each([1, 3, 4, OpenFlags.NONBLOCK, 0x8000_0000])('refuses flags %i before it looks at the handle', (flags) => {
    using r = drmRig();
    const g = r.open();
    expect(() => g.primeHandleToFd(1, flags)).toThrow(errno('EINVAL'));
    expect(() => g.primeHandleToFd(1, 0)).toThrow(errno('ENOENT'));
    expect(r.fds.size).toBe(1);
  });

  it('keeps the flags of the first one', () => {
    using r = drmRig();
    const g = r.open();
    const { handle } = g.createDumb(SMALL);
    const [first, second] = [g.primeHandleToFd(handle, CLOEXEC), g.primeHandleToFd(handle, RDWR)];
    expect(
      r.fds
        .entries()
        .map(({ fd, file, cloexec }) => [fd, file.flags, cloexec])
        .slice(1),
    ).toEqual([
      [first, 0, true],
      [second, 0, false],
    ]);
  });

  it('outlives the file, and comes back as the same object', () => {
    using r = drmRig();
    const g = r.open();
    const fd = g.primeHandleToFd(g.createDumb(SMALL).handle, BOTH);
    expect(r.count(fd)).toBe(3);
    r.close(g);
    expect(r.count(fd)).toBe(1);
    const dmabuf = DmaBuf.get(r.machine, fd);
    const area = dmabuf.mmap({ offset: 0, length: 4096 });
    dmabuf.put();
    area.write(0, Uint8Array.of(0x31));
    const k = r.open();
    const handle = k.primeFdToHandle(fd);
    expect([handle, r.count(fd)]).toEqual([1, 4]);
    const again = k.mmap({ offset: k.mapDumb(handle), length: 4096 });
    expect([...again.read(0, 1)]).toEqual([0x31]);
    again.unmap();
    area.unmap();
  });

  it('leaves nothing behind when there is no descriptor for it', () => {
    using r = drmRig();
    const g = r.open();
    const { handle } = g.createDumb(SMALL);
    r.fds.limit = r.fds.size;
    expect(() => g.primeHandleToFd(handle, BOTH)).toThrow(errno('EMFILE'));
    expect(r.machine.verify()).toMatchObject({ errors: [], leaks: [], counts: { dma_buf: 0 } });
  });
});

describe('an import', () => {
  it('of what is no dma-buf fails', () => {
    using r = drmRig();
    const g = r.open();
    const memfd = r.fds.install(Memfd.create(r.machine, 'm').file);
    expect(() => g.primeFdToHandle(-1)).toThrow(errno('EBADF'));
    expect(() => g.primeFdToHandle(0)).toThrow(errno('EINVAL'));
    expect(() => g.primeFdToHandle(memfd)).toThrow(errno('EINVAL'));
  });

  it('of one’s own export gives the handle that it has', () => {
    using r = drmRig();
    const g = r.open();
    const { handle } = g.createDumb(SMALL);
    const fd = g.primeHandleToFd(handle, BOTH);
    expect([g.primeFdToHandle(fd), g.primeFdToHandle(fd)]).toEqual([handle, handle]);
    g.gemClose(handle);
    expect(g.primeFdToHandle(fd)).toBe(1);
    g.gemClose(1);
    expect(() => g.gemClose(1)).toThrow(errno('EINVAL'));
  });

  it('of another file’s export is the same object', () => {
    using r = drmRig();
    const [g, k] = [r.open(), r.open()];
    const { handle } = g.createDumb(SMALL);
    k.createDumb(SMALL);
    const fd = g.primeHandleToFd(handle, BOTH);
    const there = k.primeFdToHandle(fd);
    expect(there).toBe(2);
    const back = k.primeHandleToFd(there, BOTH);
    expect(r.same(fd, back)).toBe(true);
    expect(k.primeFdToHandle(back)).toBe(2);
    k.gemClose(there);
    expect(k.primeFdToHandle(back)).toBe(2);
    const [a, b] = [
      g.mmap({ offset: g.mapDumb(handle), length: 4096 }),
      k.mmap({ offset: k.mapDumb(2), length: 4096 }),
    ];
    a.write(7, Uint8Array.of(9));
    expect([...b.read(7, 1)]).toEqual([9]);
    a.unmap();
    b.unmap();
  });

  it('of a foreign buffer is refused by virtio_gpu once it has mapped it, of its own export it is not', () => {
    using r = drmRig();
    const g = r.open('virtio_gpu');
    const { fd, seen } = foreignFd(r.machine);
    expect(() => g.primeFdToHandle(fd)).toThrow(errno('ENODEV'));
    expect([r.count(fd), seen]).toEqual([1, ['attach virtio_gpu', 'map', 'unmap', 'detach']]);
    const { handle } = g.createDumb(SMALL);
    expect(g.primeFdToHandle(g.primeHandleToFd(handle, BOTH))).toBe(handle);
  });

  it('of a foreign buffer attaches and maps it once, and holds it three times', () => {
    using r = drmRig();
    const g = r.open();
    const { fd, seen } = foreignFd(r.machine);
    expect(r.count(fd)).toBe(1);
    const handle = g.primeFdToHandle(fd);
    expect([handle, g.primeFdToHandle(fd), r.count(fd)]).toEqual([1, 1, 4]);
    expect(seen).toEqual(['attach vgem', 'map']);
    const again = g.primeHandleToFd(handle, BOTH);
    expect([r.same(fd, again), r.count(fd)]).toEqual([true, 5]);
    expect(() => g.mapDumb(handle)).toThrow(errno('EINVAL'));
    g.gemClose(handle);
    expect([r.count(fd), seen]).toEqual([2, ['attach vgem', 'map', 'unmap', 'detach']]);
    expect(g.primeFdToHandle(fd)).toBe(1);
  });

  it('in two files attaches twice', () => {
    using r = drmRig();
    const [g, k] = [r.open(), r.open()];
    const { fd } = foreignFd(r.machine);
    expect([g.primeFdToHandle(fd), k.primeFdToHandle(fd), r.count(fd)]).toEqual([1, 1, 7]);
    expect(bufinfo(r.machine)).toContain('\tAttached Devices:\n\tvgem\n\tvgem\nTotal 2 devices attached\n');
    g.gemClose(1);
    k.gemClose(1);
    expect(r.count(fd)).toBe(1);
  });

  it('keeps the buffer', () => {
    using r = drmRig();
    const g = r.open();
    const { fd, seen } = foreignFd(r.machine);
    const handle = g.primeFdToHandle(fd);
    r.fds.close(fd);
    expect(seen).toEqual(['attach vgem', 'map']);
    const back = g.primeHandleToFd(handle, BOTH);
    expect(r.count(back)).toBe(4);
    r.close(g);
    expect(seen.slice(2)).toEqual(['unmap', 'detach']);
    r.fds.close(back);
    expect(seen.at(-1)).toBe('release');
  });

  it('rounds the size up to whole pages', () => {
    using r = drmRig();
    const g = r.open();
    const handle = g.primeFdToHandle(foreignFd(r.machine, { size: 4097 }).fd);
    expect(g.gemOpen(g.gemFlink(handle))).toEqual({ handle: 2, size: 8192 });
  });

  it('gives up when the exporter refuses', () => {
    using r = drmRig();
    const { fd } = foreignFd(r.machine, { refuse: true });
    for (const driver of ['vgem', 'vkms'] as const) {
      expect(() => r.open(driver).primeFdToHandle(fd)).toThrow(errno('EOPNOTSUPP'));
    }
    expect(r.count(fd)).toBe(1);
  });

  it('by another driver shares the pages, not the object', () => {
    using r = drmRig();
    const [g, k] = [r.open('vgem'), r.open('vkms')];
    const { handle } = g.createDumb(SMALL);
    const fd = g.primeHandleToFd(handle, BOTH);
    const there = k.primeFdToHandle(fd);
    expect([there, r.count(fd)]).toEqual([1, 6]);
    expect(() => k.mapDumb(there)).toThrow(errno('EINVAL'));
    g.gemClose(handle);
    expect(r.count(fd)).toBe(4);
    expect(r.same(fd, k.primeHandleToFd(there, BOTH))).toBe(true);
  });

  it('is mapped through its own fake offset, which no call tells, by redirecting to the buffer', () => {
    using r = drmRig();
    const g = r.open();
    const { fd } = foreignFd(r.machine);
    g.primeFdToHandle(fd);
    const area = g.mmap({ offset: 0x1_0000_0000, length: 4096 });
    area.write(3, Uint8Array.of(5));
    expect([...r.machine.mem.read(r.machine.memoryBase + 3, 1)]).toEqual([5]);
    expect([r.count(fd), area.pageOffset]).toEqual([5, 0]);
    area.unmap();
  });
});

describe('mapping a dma-buf of GEM pages at an offset', () => {
  it.each([
    ['7.1', [1, 2]],
    ['7.3', [0, 1]],
  ] as const)('in %s', (kernel, pages) => {
    using r = drmRig({ kernel });
    const g = r.open();
    const { handle } = g.createDumb({ width: 1024, height: 3, bpp: 32 });
    const all = g.mmap({ offset: g.mapDumb(handle), length: 3 * 4096 });
    for (const page of [0, 1, 2]) all.write(page * 4096, Uint8Array.of(page));
    const dmabuf = DmaBuf.get(r.machine, g.primeHandleToFd(handle, BOTH));
    const area = dmabuf.mmap({ offset: 4096, length: 8192 });
    expect([...area.read(0, 1), ...area.read(4096, 1)]).toEqual(pages);
    expect([area.pageOffset, area.ops?.flags]).toEqual([0x10_0001, ['pf', 'de', 'dd']]);
    expect(() => dmabuf.mmap({ offset: 4096, length: 3 * 4096 })).toThrow(errno('EINVAL'));
    expect(() => dmabuf.mmap({ offset: 0, length: 4096, shared: false })).toThrow(errno('EINVAL'));
    for (const each of [area, all]) each.unmap();
    dmabuf.put();
  });
});

describe('a device that imports GEM pages', () => {
  it.each([true, false])('reads and writes them (iommu %s)', (iommu) => {
    using r = drmRig({ iommu });
    const g = r.open();
    const { handle } = g.createDumb({ width: 1024, height: 3, bpp: 32 });
    const dmabuf = DmaBuf.get(r.machine, g.primeHandleToFd(handle, BOTH));
    const area = dmabuf.mmap({ offset: 0, length: 3 * 4096 });
    const attachment = dmabuf.attach(r.nic.device);
    const table = attachment.mapUnlocked(0);
    const { address, length } = table.entries()[0]!;
    expect(table.entries().reduce((sum, entry) => sum + entry.length, 0)).toBe(3 * 4096);
    r.nic.dma.write(address + length - 1, Uint8Array.of(77));
    expect([...area.read(length - 1, 1)]).toEqual([77]);
    attachment.unmapUnlocked(table, 0);
    if (iommu) expect(() => r.nic.dma.read(address, 1)).toThrow();
    dmabuf.detach(attachment);
    area.unmap();
    dmabuf.put();
    r.pci.faults.clear();
  });

  it('may map it into the kernel, once for all users', () => {
    using r = drmRig();
    const g = r.open();
    const dmabuf = DmaBuf.get(r.machine, g.primeHandleToFd(g.createDumb(SMALL).handle, BOTH));
    const [a, b] = [dmabuf.vmapUnlocked(), dmabuf.vmapUnlocked()];
    expect(a).toEqual(b);
    dmabuf.vunmapUnlocked(a);
    dmabuf.vunmapUnlocked(b);
    dmabuf.put();
  });
});

it('a thread that only joined can use what another opened', () => {
  using r = drmRig();
  const g = r.open();
  const { handle } = g.createDumb(SMALL);
  expect(DrmFile.of(g.file).primeHandleToFd(handle, BOTH)).toBe(1);
});
