import { DmaBuf, FdTable, OpenFlags } from '@dmabuf-emu/core';
import {
  createUdmabuf,
  createUdmabufList,
  Memfd,
  MemfdFlags,
  Seal,
  type U64,
  type UdmabufItem,
  udmabufParameters,
} from '@dmabuf-emu/exporter-heap';
import { beforeEach, afterEach, describe, expect, it } from 'vitest';
import { errno, rig, type Rig } from '../testing/rig.fixture.ts';

const PAGE = 4096;
const { SEAL, SHRINK, GROW, WRITE, FUTURE_WRITE } = Seal;

let r: Rig;
beforeEach(() => {
  r = rig();
});
afterEach(() => {
  FdTable.exit(r.machine);
  r[Symbol.dispose]();
});

function memfd(pages: number, seals: number = SHRINK): number {
  const made = Memfd.create(r.machine, 'm');
  made.truncate(pages * PAGE);
  if (seals !== 0) made.addSeals(seals);
  return made.fd();
}

function create(fd: number, size: U64, offset: U64 = 0, flags = 0): number {
  return createUdmabuf(r.machine, { memfd: fd, offset, size, flags });
}

function list(items: readonly UdmabufItem[], flags = 0, count = items.length): number {
  return createUdmabufList(r.machine, { flags, count, items: () => items });
}

/** Bytes of the buffer behind a descriptor. */
function sizeOf(fd: number): number {
  const dmabuf = DmaBuf.get(r.machine, fd);
  dmabuf.put();
  return dmabuf.size;
}

describe('udmabuf create', () => {
  it('makes a buffer that reads and writes, whatever the memfd', () => {
    const fd = create(memfd(4), 4 * PAGE);
    const table = FdTable.current(r.machine);
    expect(table.fdinfo(fd)).toEqual(['pos:\t0', 'flags:\t02', 'size:\t16384', 'count:\t1', 'exp_name:\tudmabuf']);
    expect(table.link(fd)).toBe('/dmabuf:');
    const dmabuf = DmaBuf.get(r.machine, fd);
    expect(dmabuf.file.flags).toBe(OpenFlags.RDWR);
    dmabuf.put();
  });

  it.each([0, 1, 2, 3, 0x80000000, 0xffffffff])('flags 0x%s: only bit 0 is looked at', (flags) => {
    const fd = create(memfd(4), 4 * PAGE, 0, flags);
    expect(FdTable.current(r.machine).cloexec(fd)).toBe((flags & 1) === 1);
  });

  it.each<[U64, boolean]>([
    [0, true],
    [1, false],
    [512, false],
    [4095, false],
    [4096, true],
    [8192, true],
    [12288, true],
    [16384, false],
    [20480, false],
    [0xffff_ffff_ffff_f000n, false],
    [0x7fff_ffff_ffff_f000n, false],
  ])('offset %s of one page of four: %s', (offset, works) => {
    const fd = memfd(4);
    if (works) expect(sizeOf(create(fd, PAGE, offset))).toBe(PAGE);
    else expect(() => create(fd, PAGE, offset)).toThrow(errno('EINVAL'));
  });

  it.each<[U64, boolean]>([
    [0, false],
    [1, false],
    [4095, false],
    [4096, true],
    [4097, false],
    [8192, true],
    [16384, true],
    [20480, false],
    [0x1_0000_0000, false],
    [0x7fff_ffff_ffff_f000n, false],
    [0x8000_0000_0000_0000n, false],
    [0xffff_ffff_ffff_f000n, false],
  ])('size %s of four pages: %s', (size, works) => {
    const fd = memfd(4);
    udmabufParameters(r.machine).sizeLimitMb = 2 ** 31 - 1;
    if (works) expect(sizeOf(create(fd, size))).toBe(Number(size));
    else expect(() => create(fd, size)).toThrow(errno('EINVAL'));
  });

  it.each([
    [0, false],
    [SEAL, false],
    [SHRINK, true],
    [GROW, false],
    [SHRINK | GROW, true],
    [SHRINK | SEAL, true],
    [SHRINK | GROW | SEAL, true],
    [SHRINK | WRITE, false],
    [WRITE, false],
    [SHRINK | FUTURE_WRITE, false],
    [FUTURE_WRITE, false],
  ])('seals %i: %s', (seals, works) => {
    const fd = memfd(2, seals);
    if (works) expect(sizeOf(create(fd, 2 * PAGE))).toBe(2 * PAGE);
    else expect(() => create(fd, 2 * PAGE)).toThrow(errno('EINVAL'));
  });

  it('a memfd that cannot be sealed lacks SHRINK', () => {
    const made = Memfd.create(r.machine, 'm', 0);
    made.truncate(PAGE);
    expect(() => create(made.fd(), PAGE)).toThrow(errno('EINVAL'));
    expect(() => Memfd.create(r.machine, 'm', MemfdFlags.HUGETLB | 0x20)).toThrow(errno('EINVAL'));
  });

  it('what is no memfd is EBADFD', () => {
    const fd = create(memfd(2), 2 * PAGE);
    for (const bad of [-1, 0xffffffff, 100, fd]) expect(() => create(bad, 2 * PAGE)).toThrow(errno('EBADFD'));
  });

  it('looks at sizes before it looks at descriptors', () => {
    const unsealed = memfd(2, 0);
    const faults: [number, U64, U64][] = [
      [-1, 0, 1],
      [unsealed, 2 * PAGE, 1],
      [-1, 0, 0],
      [unsealed, 16 * PAGE, 16 * PAGE],
      [-1, 0xffff_ffff_ffff_f000n, 0],
    ];
    for (const [fd, size, offset] of faults) expect(() => create(fd, size, offset)).toThrow(errno('EINVAL'));
  });

  it('is limited by the size that the memfd has at the time', () => {
    const made = Memfd.create(r.machine, 'm');
    made.addSeals(SHRINK);
    const fd = made.fd();
    for (const size of [PAGE, 0]) expect(() => create(fd, size)).toThrow(errno('EINVAL'));
    made.truncate(2 * PAGE);
    expect(sizeOf(create(fd, 2 * PAGE))).toBe(2 * PAGE);
    expect(() => made.truncate(PAGE)).toThrow(errno('EPERM'));
  });

  it('leaves nothing when there is no descriptor left', () => {
    const fd = memfd(1);
    FdTable.current(r.machine).limit = 2;
    create(fd, PAGE);
    expect(() => create(fd, PAGE)).toThrow(errno('EMFILE'));
    expect(r.machine.verify().counts['udmabuf']).toBe(1);
  });
});

describe('udmabuf create list', () => {
  const item = (fd: number, offset: number, size: number): UdmabufItem => ({
    memfd: fd,
    offset: offset * PAGE,
    size: size * PAGE,
  });

  it('refuses bad items as the kernel does', () => {
    const [a, b] = [memfd(2), memfd(2, 0)];
    const bad: (readonly UdmabufItem[])[] = [
      [],
      [item(a, 0, 1), item(b, 0, 1)],
      [item(b, 0, 1), { memfd: a, offset: 1, size: PAGE }],
      [item(a, 0, 0)],
      [item(a, 0, 0), item(a, 0, 1)],
      [item(a, 2, 1)],
      [item(a, 1, 2)],
    ];
    for (const items of bad) expect(() => list(items)).toThrow(errno('EINVAL'));
    expect(() => list([item(a, 0, 1), item(-1, 0, 1)])).toThrow(errno('EBADFD'));
    expect(FdTable.current(r.machine).cloexec(list([item(a, 0, 1)], 1))).toBe(true);
    expect(FdTable.current(r.machine).cloexec(list([item(a, 0, 1)], 2))).toBe(false);
  });

  it('has a limit of items, looked at before the items', () => {
    const a = memfd(1);
    const many = Array.from({ length: 1024 }, () => item(a, 0, 1));
    expect(sizeOf(list(many))).toBe(4194304);
    const never = (): never => {
      throw new Error('the items are read');
    };
    for (const count of [1025, 0x80000000, 0xffffffff]) {
      expect(() => createUdmabufList(r.machine, { flags: 0, count, items: never })).toThrow(errno('EINVAL'));
    }
    udmabufParameters(r.machine).listLimit = 1;
    expect(() => list(many.slice(0, 2))).toThrow(errno('EINVAL'));
    udmabufParameters(r.machine).listLimit = -1;
    expect(sizeOf(list(many.slice(0, 2)))).toBe(2 * PAGE);
  });

  it('has a limit of mebibytes over all items', () => {
    const parameters = udmabufParameters(r.machine);
    expect(parameters).toMatchObject({ listLimit: 1024, sizeLimitMb: 64 });
    parameters.sizeLimitMb = 2;
    const a = memfd(768);
    expect(sizeOf(create(a, 2 << 20))).toBe(2 << 20);
    expect(() => create(a, (2 << 20) + PAGE)).toThrow(errno('EINVAL'));
    expect(sizeOf(list([item(a, 0, 256), item(a, 0, 256)]))).toBe(2 << 20);
    expect(() => list([item(a, 0, 256), item(a, 0, 256), item(a, 0, 1)])).toThrow(errno('EINVAL'));
  });
});

describe('the limit of size by kernel', () => {
  it.each([
    ['7.1', 64],
    ['7.3', 2 ** 31 - 1],
    ['6.12', 64],
  ] as const)('%s: %i MiB', (kernel, limit) => {
    using other = rig({ kernel });
    expect(udmabufParameters(other.machine).sizeLimitMb).toBe(limit);
  });
});
