import { DmaBuf, FdTable, OpenFlags } from '@dmabuf-emu/core';
import { cmaUsage, defineHeap, DmaHeap, type HeapOps, registerHeaps } from '@dmabuf-emu/exporter-heap';
import type { KernelProfile } from '@dmabuf-emu/shm';
import { describe, expect, it } from 'vitest';
import { errno, rig, type Rig, type RigOptions } from '../testing/rig.fixture.ts';

const PAGE = 4096;
const { RDONLY, WRONLY, RDWR, CLOEXEC, NONBLOCK, APPEND } = OpenFlags;

function heaps(options: RigOptions & { cmaBytes?: number } = {}): Rig {
  const { cmaBytes, ...rest } = options;
  const r = rig(rest);
  registerHeaps(r.machine, cmaBytes === undefined ? {} : { cmaBytes });
  return {
    ...r,
    get usedPages() {
      return r.usedPages;
    },
    [Symbol.dispose]: () => {
      FdTable.exit(r.machine);
      r[Symbol.dispose]();
    },
  };
}

function heapOf(r: Rig, name = 'system'): DmaHeap {
  return DmaHeap.find(r.machine, name)!;
}

describe('the heaps of a machine', () => {
  it.each<[KernelProfile, string[]]>([
    ['7.1', ['system', 'default_cma_region']],
    ['7.3', ['system', 'default_cma_region', 'reserved']],
    ['6.12', ['system', 'reserved']],
  ])('of kernel %s are %s', (kernel, names) => {
    using r = heaps({ kernel });
    const all = DmaHeap.all(r.machine);
    expect(all.map(({ name }) => name)).toEqual(names);
    expect(all.map(({ minor }) => minor)).toEqual(names.map((_, i) => i));
    registerHeaps(r.machine);
    expect(DmaHeap.all(r.machine)).toHaveLength(names.length);
  });

  it('are without CMA when it has no memory', () => {
    using r = heaps({ cmaBytes: 0 });
    expect(DmaHeap.all(r.machine).map(({ name }) => name)).toEqual(['system']);
    expect(DmaHeap.find(r.machine, 'nope')).toBeUndefined();
  });

  it('can be added to, by name once, up to 128', () => {
    using r = heaps();
    const ops = defineHeap({ name: 'mine', allocate: (heap, len) => heapOf(r).allocBuffer(len + heap.priv * PAGE) });
    const heap = DmaHeap.add(r.machine, { name: 'mine', ops, priv: 2 });
    expect([heap.name, heap.priv, heap.minor]).toEqual(['mine', 2, 2]);
    const dmabuf = heap.allocBuffer(1);
    expect(dmabuf.size).toBe(3 * PAGE);
    dmabuf.put();
    expect(() => DmaHeap.add(r.machine, { name: 'mine', ops })).toThrow(errno('EEXIST'));
    expect(() => DmaHeap.add(r.machine, { name: '', ops })).toThrow(errno('EINVAL'));
    expect(() => DmaHeap.add(r.machine, { name: 'x', ops: {} as HeapOps })).toThrow(errno('EINVAL'));
    r.machine.faults.failNth(1, { site: 'dma_heap_add' });
    expect(() => DmaHeap.add(r.machine, { name: 'x', ops })).toThrow(errno('ENOMEM'));
    for (let i = 3; i < 128; i++) DmaHeap.add(r.machine, { name: `heap ${i}`, ops });
    expect(() => DmaHeap.add(r.machine, { name: 'x', ops })).toThrow(errno('EBUSY'));
    expect(r.machine.verify().counts['slab:dma_heap']).toBe(128);
    expect(() => defineHeap({ ...ops, name: '' })).toThrow(/needs a name/);
  });
});

describe('allocating from a heap', () => {
  it.each([
    [0, 0],
    [1, 1],
    [4095, 1],
    [4096, 1],
    [4097, 2],
    [65536, 16],
    [1048576, 256],
    [0xffff_ffff_ffff_f001n, 0],
    [0xffff_ffff_ffff_ffffn, 0],
  ])('%s bytes are %i pages', (len, pages) => {
    using r = heaps({ kernel: '7.3' });
    for (const { name } of DmaHeap.all(r.machine)) {
      const heap = heapOf(r, name);
      if (pages === 0) {
        expect(() => heap.alloc({ len })).toThrow(errno('EINVAL'));
        continue;
      }
      const fd = heap.alloc({ len });
      const [, , size, count, expName] = FdTable.current(r.machine).fdinfo(fd);
      expect([size, count, expName]).toEqual([`size:\t${pages * PAGE}`, 'count:\t1', `exp_name:\t${name}`]);
    }
  });

  it.each([
    [RDONLY, true],
    [WRONLY, true],
    [RDWR, true],
    [3, true],
    [CLOEXEC, true],
    [RDWR | CLOEXEC, true],
    [NONBLOCK, false],
    [RDWR | NONBLOCK, false],
    [APPEND, false],
    [0x40, false],
    [0x80000000, false],
  ])('fd_flags 0x%s: %s', (fdFlags, works) => {
    using r = heaps();
    if (!works) {
      expect(() => heapOf(r).alloc({ len: 1, fdFlags })).toThrow(errno('EINVAL'));
      return;
    }
    const fd = heapOf(r).alloc({ len: 1, fdFlags });
    const dmabuf = DmaBuf.get(r.machine, fd);
    expect(dmabuf.file.flags).toBe(fdFlags & 3);
    expect(FdTable.current(r.machine).cloexec(fd)).toBe((fdFlags & CLOEXEC) !== 0);
    dmabuf.put();
  });

  it('refuses heap flags and a descriptor that is given', () => {
    using r = heaps();
    for (const heapFlags of [1, 2, 0x80000000, 0x8000_0000_0000_0000n]) {
      expect(() => heapOf(r).alloc({ len: 1, heapFlags })).toThrow(errno('EINVAL'));
    }
    for (const fd of [1, 0xffffffff]) expect(() => heapOf(r).alloc({ len: 1, fd })).toThrow(errno('EINVAL'));
  });

  it('leaves nothing when there is no descriptor left', () => {
    using r = heaps();
    FdTable.current(r.machine).limit = 0;
    for (const { name } of DmaHeap.all(r.machine)) {
      expect(() => heapOf(r, name).alloc({ len: 1 })).toThrow(errno('EMFILE'));
    }
    expect(r.usedPages).toBe(0);
  });

  it('from the system heap ends with a signal', () => {
    using r = heaps();
    r.machine.interrupt(r.machine.tid);
    expect(() => heapOf(r).allocBuffer(PAGE)).toThrow(errno('EINTR'));
    r.machine.clearSignal();
    expect(r.usedPages).toBe(0);
  });
});

describe('when memory ends', () => {
  it('the system heap takes the process with it', () => {
    using r = heaps({ ramBytes: 40 * PAGE });
    const last = heapOf(r).allocBuffer(39 * PAGE);
    for (const len of [PAGE, 2 ** 40, 0xffff_ffff_ffff_f000n]) {
      expect(() => heapOf(r).allocBuffer(len)).toThrow(expect.objectContaining({ name: 'OomKill', code: 'EINTR' }));
    }
    expect(r.usedPages).toBe(39);
    expect(r.machine.diag.records().filter(({ code }) => code === 'oom-kill')).toHaveLength(3);
    last.put();
  });

  it('a CMA heap says ENOMEM; its two names share the area', () => {
    using r = heaps({ kernel: '7.3', cmaBytes: 4 * PAGE });
    const [a, b] = [heapOf(r, 'default_cma_region'), heapOf(r, 'reserved')];
    const first = a.allocBuffer(3 * PAGE);
    expect(cmaUsage(r.machine)).toEqual({ usedPages: 3, totalPages: 4 });
    expect(() => b.allocBuffer(2 * PAGE)).toThrow(errno('ENOMEM'));
    const second = b.allocBuffer(PAGE);
    expect(second.expName).toBe('reserved');
    first.put();
    second.put();
    for (const len of [2 ** 32, 0xffff_ffff_ffff_f000n]) expect(() => a.allocBuffer(len)).toThrow(errno('ENOMEM'));
    expect(r.machine.diag.records().filter(({ code }) => code === 'cma-alloc-failed')).toHaveLength(3);
    expect(cmaUsage(r.machine).usedPages).toBe(0);
  });

  it('CMA buffers need pages in a row', () => {
    using r = heaps({ ramBytes: 8 * PAGE, cmaBytes: 8 * PAGE });
    const heap = heapOf(r, 'default_cma_region');
    const all = Array.from({ length: 7 }, () => heap.allocBuffer(PAGE));
    for (const i of [0, 2, 4, 6]) all[i]!.put();
    expect(() => heap.allocBuffer(2 * PAGE)).toThrow(errno('ENOMEM'));
    expect(cmaUsage(r.machine).usedPages).toBe(3);
    for (const i of [1, 3, 5]) all[i]!.put();
  });
});
