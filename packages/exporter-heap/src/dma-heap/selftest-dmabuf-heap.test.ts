import { DmaBuf, DmaDirection, FdTable, OpenFlags, type VmArea } from '@dmabuf-emu/core';
import { DmaHeap, DrmFile, registerDrm, registerHeaps } from '@dmabuf-emu/exporter-heap';
import { beforeEach, afterEach, describe, expect, it } from 'vitest';
import { errno, rig, type Rig } from '../testing/rig.fixture.ts';

/**
 * The cases of selftests/dmabuf-heaps/dmabuf-heap.c (core §7.7) that do not depend on how the ioctl passes its argument:
 * those are the user API's.
 */
const ONE_MEG = 1 << 20;
const PAGE = 4096;
const NUM_BUFFERS = 4;
const FLAGS = OpenFlags.RDWR | OpenFlags.CLOEXEC;

let r: Rig;
beforeEach(() => {
  r = rig({ kernel: '7.3', memoryBytes: 64 << 20 });
  registerHeaps(r.machine);
  registerDrm(r.machine);
});
afterEach(() => {
  FdTable.exit(r.machine);
  r[Symbol.dispose]();
});

function heapOf(name: string): DmaHeap {
  return DmaHeap.find(r.machine, name)!;
}

/** Runs `use` with the buffer mapped, between the begin and the end of CPU access. */
function accessed(fd: number, use: (area: VmArea) => void): void {
  const dmabuf = DmaBuf.get(r.machine, fd);
  const area = dmabuf.mmap({ offset: 0, length: dmabuf.size });
  dmabuf.beginCpuAccess(DmaDirection.BIDIRECTIONAL);
  use(area);
  dmabuf.endCpuAccess(DmaDirection.BIDIRECTIONAL);
  area.unmap();
  dmabuf.put();
}

describe.each(['system', 'default_cma_region', 'reserved'])('heap: %s', (name) => {
  it('test_alloc_and_import', () => {
    const fd = heapOf(name).alloc({ len: ONE_MEG, fdFlags: FLAGS });
    accessed(fd, (area) => {
      area.write(0, new Uint8Array(ONE_MEG / 2).fill(1));
      area.write(ONE_MEG / 2, new Uint8Array(ONE_MEG / 2));
    });
    const vgem = DrmFile.open(r.machine, 'vgem');
    expect(vgem.primeFdToHandle(fd)).toBeGreaterThan(0);
    accessed(fd, (area) => {
      expect([area.read(0, 1)[0], area.read(ONE_MEG - 1, 1)[0]]).toEqual([1, 0]);
      area.write(0, new Uint8Array(ONE_MEG).fill(0xff));
    });
    vgem.file.put();
  });

  it.each([4 * 1024, ONE_MEG])('test_alloc_zeroed %i', (size) => {
    const heap = heapOf(name);
    const table = FdTable.current(r.machine);
    const dirty = Array.from({ length: NUM_BUFFERS }, () => heap.alloc({ len: size, fdFlags: FLAGS }));
    for (const fd of dirty) accessed(fd, (area) => area.write(0, new Uint8Array(size).fill(0xff)));
    for (const fd of dirty) table.close(fd);
    const clean = Array.from({ length: NUM_BUFFERS }, () => heap.alloc({ len: size, fdFlags: FLAGS }));
    for (const fd of clean) {
      accessed(fd, (area) => {
        for (let at = 0; at < size; at += PAGE) expect(Buffer.compare(area.read(at, PAGE), Buffer.alloc(PAGE))).toBe(0);
      });
    }
  });

  it('test_alloc_errors', () => {
    const heap = heapOf(name);
    expect(() => heap.alloc({ len: PAGE, fdFlags: FLAGS, heapFlags: 0x111111 })).toThrow(errno('EINVAL'));
    expect(() => heap.alloc({ len: PAGE, fdFlags: ~FLAGS })).toThrow(errno('EINVAL'));
    expect(FdTable.current(r.machine).size).toBe(0);
  });
});
