import { DmaBuf, FdTable, type VmArea } from '@dmabuf-emu/core';
import { createUdmabuf, createUdmabufList, Memfd, MemfdFlags, Seal, setHugePageLimit } from '@dmabuf-emu/exporter-heap';
import { describe, expect, it } from 'vitest';
import { errno, rig, type Rig } from '../testing/rig.fixture.ts';

/** The cases of selftests/drivers/dma-buf/udmabuf.c (core §7.8), with less memory. */
const PAGE = 4096;
const HUGE = 2 ** 21;
const LIST = 4;

interface Source {
  readonly fd: number;
  readonly memfd: Memfd;
}

function source(r: Rig, size: number, huge = false): Source {
  const memfd = Memfd.create(r.machine, 'udmabuf-test', MemfdFlags.ALLOW_SEALING | (huge ? MemfdFlags.HUGETLB : 0));
  memfd.truncate(size);
  memfd.addSeals(Seal.SHRINK);
  return { fd: memfd.fd(), memfd };
}

function writeToMemfd(area: VmArea, size: number, chr: string): void {
  const byte = Uint8Array.of(chr.codePointAt(0)!);
  for (let at = 0; at < size; at += PAGE) area.write(at, byte);
}

function createList(r: Rig, fd: number, size: number): number {
  const items = Array.from({ length: LIST }, (_, i) => ({ memfd: fd, offset: (size / LIST) * i, size: LIST * PAGE }));
  return createUdmabufList(r.machine, { flags: 0, count: LIST, items: () => items });
}

/** Byte 0 of every page of the buffer is that of the memfd's page. */
function comparePages(r: Rig, buf: number, memfd: VmArea, size: number): void {
  const dmabuf = DmaBuf.get(r.machine, buf);
  const area = dmabuf.mmap({ offset: 0, length: LIST * LIST * PAGE });
  for (let i = 0; i < LIST; i++) {
    for (let page = 0; page < LIST; page++) {
      const there = memfd.read((size / LIST) * i + page * PAGE, 1);
      expect(area.read((i * LIST + page) * PAGE, 1)).toEqual(there);
    }
  }
  area.unmap();
  dmabuf.put();
}

/** Byte 0 of the memfd at the end. */
function migrate(r: Rig, huge: boolean, unit: number, createFirst: boolean): string {
  setHugePageLimit(r.machine, 8);
  const size = unit * 4;
  const { fd, memfd } = source(r, size, huge);
  const area = memfd.mmap({ offset: 0, length: size });
  let buf = createFirst ? createList(r, fd, size) : -1;
  writeToMemfd(area, size, 'a');
  if (!createFirst) buf = createList(r, fd, size);
  comparePages(r, buf, area, size);
  writeToMemfd(area, size, 'b');
  comparePages(r, buf, area, size);
  const byte = String.fromCodePoint(area.read(0, 1)[0]!);
  area.unmap();
  FdTable.exit(r.machine);
  return byte;
}

describe('drivers/dma-buf/udmabuf', () => {
  it.each([
    ['[PASS,test-1]', PAGE / 2, PAGE, 'EINVAL', false],
    ['[PASS,test-2]', 0, PAGE / 2, 'EINVAL', false],
    ['[PASS,test-3]', 0, PAGE, 'EBADFD', true],
  ] as const)('%s: offset %i, size %i', (_, offset, size, code, stdin) => {
    using r = rig();
    const { fd } = source(r, 4 * PAGE);
    expect(() => createUdmabuf(r.machine, { memfd: stdin ? 17 : fd, offset, size })).toThrow(errno(code));
    FdTable.exit(r.machine);
  });

  it('[PASS,test-4]: a whole memfd that was written', () => {
    using r = rig();
    const { fd, memfd } = source(r, 4 * PAGE);
    const area = memfd.mmap({ offset: 0, length: 4 * PAGE });
    writeToMemfd(area, 4 * PAGE, 'a');
    expect(createUdmabuf(r.machine, { memfd: fd, offset: 0, size: 4 * PAGE })).toBeGreaterThanOrEqual(0);
    area.unmap();
    FdTable.exit(r.machine);
  });

  it('[PASS,test-5]: a list over a memfd of small pages', () => {
    using r = rig();
    expect(migrate(r, false, 256 * PAGE, false)).toBe('b');
  });

  it('[PASS,test-6]: a list over a memfd of huge pages', () => {
    using r = rig({ memoryBytes: 32 << 20 });
    expect(migrate(r, true, HUGE, false)).toBe('b');
  });

  it('[PASS,test-7]: a list over a memfd of huge pages, before it is written', () => {
    using r = rig({ memoryBytes: 32 << 20 });
    expect(migrate(r, true, HUGE, true)).toBe('b');
  });
});
