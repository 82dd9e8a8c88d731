import { FdTable, OpenFlags, Seek } from '@dmabuf-emu/core';
import { Falloc, Memfd, MemfdFlags, putPage, Seal, setHugePageLimit } from '@dmabuf-emu/exporter-heap';
import { describe, expect, it } from 'vitest';
import { errno, rig, type Rig } from '../testing/rig.fixture.ts';

const PAGE = 4096;
const { SEAL, SHRINK, GROW, WRITE, FUTURE_WRITE, EXEC } = Seal;

function memfd(r: Rig, pages = 2, seals = 0): Memfd & Disposable {
  const made = Memfd.create(r.machine, 'm');
  made.truncate(pages * PAGE);
  if (seals !== 0) made.addSeals(seals);
  return Object.assign(made, { [Symbol.dispose]: () => made.put() });
}

describe('memfd_create', () => {
  it.each([
    ['unknown flags', 'm', 0x20, 'EINVAL'],
    ['a huge page size without huge pages', 'm', 21 << 26, 'EINVAL'],
    ['executable and not executable', 'm', MemfdFlags.EXEC | MemfdFlags.NOEXEC_SEAL, 'EINVAL'],
    ['a name of 250 bytes', 'é'.repeat(125), 0, 'EINVAL'],
    ['huge pages of another size', 'm', MemfdFlags.HUGETLB | (30 << 26), 'ENODEV'],
  ] as const)('refuses %s', (_, name, flags, code) => {
    using r = rig();
    expect(() => Memfd.create(r.machine, name, flags)).toThrow(errno(code));
  });

  it.each([
    [0, SEAL],
    [MemfdFlags.ALLOW_SEALING, 0],
    [MemfdFlags.NOEXEC_SEAL, EXEC],
    [MemfdFlags.HUGETLB | (21 << 26), SEAL],
  ])('with flags %i starts with seals %i', (flags, seals) => {
    using r = rig();
    const made = Memfd.create(r.machine, '', flags);
    expect([made.seals, made.size, made.file.flags & OpenFlags.ACCMODE]).toEqual([seals, 0, OpenFlags.RDWR]);
    expect(made.executable).toBe((flags & MemfdFlags.NOEXEC_SEAL) === 0);
    if (seals === SEAL) {
      expect(() => made.addSeals(SHRINK)).toThrow(errno('EPERM'));
      expect(() => made.addSeals(0x40)).toThrow(errno('EINVAL'));
    }
    made.put();
  });

  it('has a link that names it, and shows its position', () => {
    using r = rig();
    const made = Memfd.create(r.machine, 'a name', MemfdFlags.CLOEXEC);
    const fd = made.fd({ cloexec: true });
    made.write(Uint8Array.of(1, 2, 3));
    const table = FdTable.current(r.machine);
    expect(table.link(fd)).toBe('/memfd:a name (deleted)');
    expect(table.fdinfo(fd)).toEqual(['pos:\t3', 'flags:\t02100002']);
    expect(made.file.ops.describe?.(made.file)).toBe("memfd 'a name'");
    FdTable.exit(r.machine);
  });
});

describe('reading and writing', () => {
  it('moves the position, and grows the file', () => {
    using r = rig();
    using m = memfd(r, 0);
    expect(m.write(Uint8Array.of(1, 2, 3))).toBe(3);
    expect(m.seek(1, Seek.SET)).toBe(1);
    expect([...m.read(10)]).toEqual([2, 3]);
    expect([...m.read(10)]).toEqual([]);
    expect(m.pwrite(PAGE, Uint8Array.of(9))).toBe(1);
    expect([m.size, m.pages, m.file.pos]).toEqual([PAGE + 1, 2, 3]);
    expect([...m.pread(PAGE, 5)]).toEqual([9]);
    m.file.flags |= OpenFlags.APPEND;
    m.write(Uint8Array.of(8));
    expect([m.size, m.file.pos]).toEqual([PAGE + 2, PAGE + 2]);
    for (const bad of [() => m.pread(-1, 1), () => m.pwrite(-1, Uint8Array.of(1))])
      expect(bad).toThrow(errno('EINVAL'));
    expect(() => m.pwrite(2 ** 53 - 2, Uint8Array.of(1, 2, 3))).not.toThrow();
  });

  it('seeks to data and to holes', () => {
    using r = rig();
    using m = memfd(r, 6);
    for (const page of [1, 2, 4]) m.pwrite(page * PAGE, Uint8Array.of(1));
    expect(m.seek(0, Seek.DATA)).toBe(PAGE);
    expect(m.seek(PAGE + 5, Seek.DATA)).toBe(PAGE + 5);
    expect(m.seek(PAGE + 5, Seek.HOLE)).toBe(3 * PAGE);
    expect(m.seek(3 * PAGE, Seek.HOLE)).toBe(3 * PAGE);
    expect(m.seek(-1, Seek.END)).toBe(6 * PAGE - 1);
    expect(m.seek(1, Seek.CUR)).toBe(6 * PAGE);
    for (const at of [5 * PAGE, 6 * PAGE]) expect(() => m.seek(at, Seek.DATA)).toThrow(errno('ENXIO'));
    expect(() => m.seek(6 * PAGE, Seek.HOLE)).toThrow(errno('ENXIO'));
    expect(() => m.seek(-1, Seek.SET)).toThrow(errno('EINVAL'));
    expect(() => m.seek(-1, Seek.DATA)).toThrow(errno('ENXIO'));
    expect(m.seek(2 ** 62, Seek.SET)).toBe(2 ** 62);
    for (const [at, whence] of [
      [0, 9],
      [2 ** 63, Seek.SET],
    ] as const) {
      expect(() => m.seek(at, whence)).toThrow(errno('EINVAL'));
    }
  });

  it('leaves the size alone when memory ends', () => {
    using r = rig({ ramBytes: 3 * PAGE });
    using m = memfd(r, 0);
    expect(m.pwrite(0, new Uint8Array(4 * PAGE).fill(1))).toBe(2 * PAGE);
    expect(m.size).toBe(2 * PAGE);
    expect(() => m.pwrite(3 * PAGE, Uint8Array.of(1))).toThrow(errno('ENOMEM'));
    expect(m.size).toBe(2 * PAGE);
  });
});

describe('ftruncate and fallocate', () => {
  it('allocates, keeps the size when told, and makes holes', () => {
    using r = rig();
    using m = memfd(r, 1);
    m.fallocate(0, PAGE, 2 * PAGE);
    expect([m.size, m.pages]).toEqual([3 * PAGE, 2]);
    m.fallocate(Falloc.KEEP_SIZE, 0, 9 * PAGE);
    expect([m.size, m.pages]).toEqual([3 * PAGE, 3]);
    m.pwrite(0, new Uint8Array(3 * PAGE).fill(1));
    m.fallocate(Falloc.KEEP_SIZE | Falloc.PUNCH_HOLE, PAGE - 1, PAGE + 2);
    expect(m.pages).toBe(2);
    expect([...m.pread(PAGE - 2, 3), ...m.pread(2 * PAGE, 2)]).toEqual([1, 0, 0, 0, 1]);
    m.fallocate(Falloc.KEEP_SIZE | Falloc.PUNCH_HOLE, 50 * PAGE, PAGE);
    m.truncate(10);
    m.truncate(PAGE);
    expect([...m.pread(9, 2)]).toEqual([1, 0]);
  });

  it.each([
    [0, -1, 1, 'EINVAL'],
    [0, 0, 0, 'EINVAL'],
    [Falloc.PUNCH_HOLE, 0, 1, 'EOPNOTSUPP'],
    [8, 0, 1, 'EOPNOTSUPP'],
    [0, 2 ** 53 - 1, 2, 'EFBIG'],
  ] as const)('refuses mode %i at %i, %i bytes', (mode, offset, length, code) => {
    using r = rig();
    using m = memfd(r);
    expect(() => m.fallocate(mode, offset, length)).toThrow(errno(code));
    expect(() => m.truncate(-1)).toThrow(errno('EINVAL'));
  });

  it('takes back what it allocated when memory ends', () => {
    using r = rig({ ramBytes: 4 * PAGE });
    using m = memfd(r, 1);
    m.pwrite(0, Uint8Array.of(5));
    expect(() => m.fallocate(0, 0, 8 * PAGE)).toThrow(errno('ENOMEM'));
    expect([m.size, m.pages, r.usedPages]).toEqual([PAGE, 1, 1]);
    expect([...m.pread(0, 1)]).toEqual([5]);
  });
});

describe('seals', () => {
  it('GROW stops a write at the last page boundary before the end', () => {
    using r = rig();
    using m = memfd(r, 0);
    m.truncate(6000);
    m.addSeals(GROW);
    expect(m.pwrite(4000, new Uint8Array(4096))).toBe(96);
    expect(() => m.pwrite(5000, new Uint8Array(2000))).toThrow(errno('EPERM'));
    expect(m.pwrite(5000, new Uint8Array(1000))).toBe(1000);
  });

  it('a mapping made under FUTURE_WRITE does not keep WRITE out', () => {
    using r = rig();
    using m = memfd(r, 2, FUTURE_WRITE);
    const area = m.mmap({ offset: 0, length: PAGE, writable: false });
    expect(area.mayWrite).toBe(false);
    m.addSeals(WRITE);
    m.truncate(PAGE);
    m.truncate(3 * PAGE);
    area.unmap();
  });

  it.each([
    ['SHRINK', SHRINK, ['shrink']],
    ['GROW', GROW, ['grow', 'append', 'allocate']],
    ['WRITE', WRITE, ['write', 'append', 'punch', 'map']],
    ['FUTURE_WRITE', FUTURE_WRITE, ['write', 'append', 'punch', 'map']],
    ['SEAL', SEAL, ['seal']],
  ])('%s stops what it is for', (_, seals, stopped) => {
    using r = rig();
    using m = memfd(r, 2, seals);
    const steps: Record<string, () => void> = {
      write: () => m.pwrite(0, Uint8Array.of(1)),
      append: () => m.pwrite(2 * PAGE, Uint8Array.of(1)),
      punch: () => m.fallocate(Falloc.KEEP_SIZE | Falloc.PUNCH_HOLE, 0, 1),
      allocate: () => m.fallocate(Falloc.KEEP_SIZE, 0, 9 * PAGE),
      grow: () => m.truncate(10 * PAGE),
      shrink: () => m.truncate(PAGE),
      map: () => m.mmap({ offset: 0, length: PAGE }).unmap(),
      seal: () => m.addSeals(0),
    };
    const refused = Object.entries(steps).filter(([name, step]) => {
      try {
        step();
        return false;
      } catch (error) {
        expect(error, name).toEqual(errno('EPERM'));
        return true;
      }
    });
    expect(refused.map(([name]) => name).toSorted()).toEqual(stopped.toSorted());
  });

  it('GROW lets through the pages before the end', () => {
    using r = rig();
    using m = memfd(r, 2, GROW);
    expect(m.pwrite(PAGE - 1, new Uint8Array(2 * PAGE).fill(1))).toBe(PAGE + 1);
    expect(() => m.pwrite(2 * PAGE, Uint8Array.of(1))).toThrow(errno('EPERM'));
    expect(m.size).toBe(2 * PAGE);
  });

  it('WRITE waits for nobody: writable mappings and pinned pages are EBUSY', () => {
    using r = rig();
    using m = memfd(r);
    const area = m.mmap({ offset: 0, length: PAGE, writable: false });
    area.read(0, 1);
    expect(() => m.addSeals(WRITE)).toThrow(errno('EBUSY'));
    m.addSeals(FUTURE_WRITE);
    expect(() => m.addSeals(WRITE)).toThrow(errno('EBUSY'));
    area.unmap();
    using other = memfd(r);
    const page = other.shmem.pin(1);
    expect(() => other.addSeals(WRITE)).toThrow(errno('EBUSY'));
    expect(other.seals).toBe(0);
    m.addSeals(WRITE);
    const quiet = m.mmap({ offset: 0, length: PAGE, writable: false });
    expect([...quiet.read(0, 1)]).toEqual([0]);
    expect(() => m.mmap({ offset: 0, length: PAGE, writable: true })).toThrow(errno('EPERM'));
    const own = m.mmap({ offset: 0, length: PAGE, shared: false });
    own.write(0, Uint8Array.of(4));
    expect([...own.read(0, 1), ...quiet.read(0, 1)]).toEqual([4, 0]);
    own.unmap();
    quiet.unmap();
    putPage(r.machine, page);
    other.addSeals(WRITE);
  });

  it('EXEC brings the others with it', () => {
    using r = rig();
    using m = memfd(r, 1, EXEC);
    expect(m.seals).toBe(EXEC | SHRINK | GROW | WRITE | FUTURE_WRITE);
    expect(() => m.addSeals(0x40)).toThrow(errno('EINVAL'));
    const reader = Memfd.open(m.shmem.get(), OpenFlags.RDONLY);
    expect(() => reader.addSeals(SEAL)).toThrow(errno('EPERM'));
    expect(reader.size).toBe(PAGE);
    reader.put();
  });
});

describe('mmap', () => {
  it('shows the file, and SIGBUS behind its end', () => {
    using r = rig();
    using m = memfd(r, 2);
    const area = m.mmap({ offset: PAGE, length: 3 * PAGE });
    area.write(10, Uint8Array.of(6));
    expect([...m.pread(PAGE + 10, 1)]).toEqual([6]);
    expect(() => area.read(PAGE, 1)).toThrow(expect.objectContaining({ name: 'BusError' }));
    expect(() => m.mmap({ offset: 1, length: 1 })).toThrow(errno('EINVAL'));
    area.unmap();
  });

  it('of huge pages takes them at once, from a pool that ends', () => {
    using r = rig();
    setHugePageLimit(r.machine, 2);
    const m = Memfd.create(r.machine, 'huge', MemfdFlags.HUGETLB | MemfdFlags.ALLOW_SEALING);
    expect(() => m.truncate(PAGE)).toThrow(errno('EINVAL'));
    m.truncate(2 ** 21);
    expect(() => m.pwrite(0, Uint8Array.of(1))).toThrow(errno('EINVAL'));
    const area = m.mmap({ offset: 0, length: 2 ** 22 });
    expect([m.size, m.pages]).toEqual([2 ** 22, 1024]);
    area.write(2 ** 21 - 1, Uint8Array.of(1, 2));
    expect([...m.pread(2 ** 21 - 1, 2)]).toEqual([1, 2]);
    expect(m.seek(5, Seek.DATA)).toBe(5);
    expect(m.seek(5, Seek.HOLE)).toBe(2 ** 22);
    expect(() => m.mmap({ offset: 0, length: 3 * 2 ** 21 })).toThrow(errno('ENOMEM'));
    expect(() => m.fallocate(0, 2 ** 22, 1)).toThrow(errno('ENOMEM'));
    expect(m.size).toBe(2 ** 22);
    area.unmap();
    m.put();
  });
});
