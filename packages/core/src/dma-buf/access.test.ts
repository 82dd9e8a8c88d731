import {
  DmaDirection,
  type ExporterOps,
  FdTable,
  File,
  registerFileOps,
  ResvUsage,
  VmArea,
  type VmOps,
} from '@dmabuf-emu/core';
import { KernelError } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { pendingFence } from '#dist/dma-buf/fences.test-worker.js';
import { exported, recorder } from './recorder.fixture.ts';

const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });
const { BIDIRECTIONAL, TO_DEVICE, FROM_DEVICE, NONE } = DmaDirection;

describe('CPU access (core §1.11)', () => {
  it.each([
    ['BIDIRECTIONAL', BIDIRECTIONAL, ['KERNEL', 'WRITE', 'READ']],
    ['TO_DEVICE', TO_DEVICE, ['KERNEL', 'WRITE', 'READ']],
    ['FROM_DEVICE', FROM_DEVICE, ['KERNEL', 'WRITE']],
    ['NONE', NONE, ['KERNEL', 'WRITE']],
  ] as const)('begin %s waits for the fences that it must, after the exporter', (_, direction, waited) => {
    using machine = testMachine();
    const log: string[] = [];
    const dmabuf = exported(
      machine,
      recorder({ beginCpuAccess: (d, dir) => void log.push(`begin ${dir} ${d.resv.heldByMe}`) }),
    );
    for (const usage of ['KERNEL', 'WRITE', 'READ', 'BOOKKEEP'] as const) {
      using right = pendingFence(machine);
      dmabuf.resv.with(() => {
        dmabuf.resv.reserveFences(1);
        dmabuf.resv.addFence(right.fence, ResvUsage[usage]);
      });
      machine.interrupt(machine.tid);
      let blocked = false;
      try {
        dmabuf.beginCpuAccess(direction);
      } catch (error) {
        expect(error).toEqual(kernelError('ERESTARTSYS'));
        blocked = true;
      }
      machine.clearSignal();
      right.signal();
      expect([usage, blocked]).toEqual([usage, (waited as readonly string[]).includes(usage)]);
    }
    expect(log).toEqual(Array(4).fill(`begin ${direction} false`));
    dmabuf.put();
  });

  it('does not wait when the exporter refuses, and passes its refusal on', () => {
    using machine = testMachine();
    const refuse = (): never => {
      throw new KernelError('EIO', 'recorder');
    };
    const dmabuf = exported(machine, recorder({ beginCpuAccess: refuse, endCpuAccess: refuse }));
    using right = pendingFence(machine);
    dmabuf.resv.with(() => {
      dmabuf.resv.reserveFences(1);
      dmabuf.resv.addFence(right.fence, ResvUsage.WRITE);
    });
    expect(() => dmabuf.beginCpuAccess(FROM_DEVICE)).toThrow(kernelError('EIO'));
    expect(() => dmabuf.endCpuAccess(FROM_DEVICE)).toThrow(kernelError('EIO'));
    dmabuf.put();
  });

  it('needs neither operation, and no begin before an end', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    dmabuf.endCpuAccess(BIDIRECTIONAL);
    dmabuf.beginCpuAccess(BIDIRECTIONAL);
    expect(dmabuf.refs).toBe(1);
    dmabuf.put();
  });

  it('is a locking error with resv held', () => {
    using machine = testMachine();
    machine.diag.expect('lockdep', 'resv-held');
    const dmabuf = exported(machine, recorder());
    dmabuf.resv.with(() => {
      dmabuf.beginCpuAccess(BIDIRECTIONAL);
      dmabuf.endCpuAccess(BIDIRECTIONAL);
    });
    expect(machine.diag.count('lockdep')).toBe(2);
    dmabuf.put();
  });
});

describe('vmap (core §1.12, §7.13 g)', () => {
  const mapping = { address: 65536, isIomem: true };
  const withVmap = (log: string[]): Partial<ExporterOps> => ({
    vmap: () => {
      log.push('vmap');
      return mapping;
    },
    vunmap: (_, given) => void log.push(`vunmap ${given.address}`),
  });

  it('reaches the exporter for the first and the last user only', () => {
    using machine = testMachine();
    const log: string[] = [];
    const dmabuf = exported(machine, recorder(withVmap(log)));
    dmabuf.resv.with(() => {
      const [a, b] = [dmabuf.vmap(), dmabuf.vmap()];
      expect([a, b]).toEqual([mapping, mapping]);
      dmabuf.vunmap(a);
      expect(log).toEqual(['vmap']);
      dmabuf.vunmap(b);
    });
    expect(log).toEqual(['vmap', 'vunmap 65536']);
    dmabuf.vunmapUnlocked(dmabuf.vmapUnlocked());
    expect(log).toEqual(['vmap', 'vunmap 65536', 'vmap', 'vunmap 65536']);
    dmabuf.put();
  });

  it('is EINVAL with an exporter that cannot, and needs resv', () => {
    using machine = testMachine();
    machine.diag.expect('violation', 'resv-not-held');
    const dmabuf = exported(machine, recorder());
    expect(() => dmabuf.vmapUnlocked()).toThrow(kernelError('EINVAL'));
    expect(() => dmabuf.vmap()).toThrow(kernelError('EINVAL'));
    expect(() => dmabuf.vunmap(mapping)).toThrow(kernelError('EINVAL'));
    expect(machine.diag.count('violation')).toBe(2);
    dmabuf.put();
  });

  it('warns once when the exporter fails, and stays unmapped', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'dma_buf_vmap');
    let failures = 2;
    const vmap = () => {
      if (failures-- > 0) throw new KernelError('ENOMEM', 'recorder');
      return mapping;
    };
    const dmabuf = exported(machine, recorder({ vmap }));
    for (let i = 0; i < 2; i++) expect(() => dmabuf.vmapUnlocked()).toThrow(kernelError('ENOMEM'));
    expect(machine.diag.count('warn')).toBe(1);
    dmabuf.vunmapUnlocked(dmabuf.vmapUnlocked());
    dmabuf.put();
  });

  it.each([
    ['nothing is mapped', 0, mapping],
    ['it is undone once too often', 1, mapping],
    ['another address is given', 1, { address: 4096, isIomem: true }],
    ['another kind of memory is given', 1, { address: 65536, isIomem: false }],
  ])('is a BUG to unmap when %s', (_, maps, given) => {
    const machine = testMachine();
    const dmabuf = exported(machine, recorder(withVmap([])));
    for (let i = 0; i < maps; i++) dmabuf.vmapUnlocked();
    if (maps > 0 && given === mapping) dmabuf.vunmapUnlocked(mapping);
    expect(() => dmabuf.vunmapUnlocked(given)).toThrow(/is not mapped|is mapped at/);
    expect(machine.tainted).toBe(true);
    machine.leave();
  });
});

describe('mmap (core §1.6.1, §1.6.2)', () => {
  const SIZE = 4096 * 2 + 100;

  it('maps whole pages within the buffer and reads and writes through the exporter', () => {
    using machine = testMachine();
    const vmOps: VmOps = { fault: (area, page) => machine.memoryBase + (area.pageOffset + page) * 4096 };
    const dmabuf = exported(machine, recorder({ mmap: (_, area) => void (area.ops = vmOps) }), { size: SIZE });
    const area = dmabuf.mmap({ offset: 4096, length: 10 });
    expect(area).toMatchObject({ pages: 1, pageOffset: 1, length: 4096 });
    expect(dmabuf.refs).toBe(2);
    area.write(4090, Uint8Array.of(1, 2, 3));
    expect([...machine.mem.read(machine.memoryBase + 8186, 3)]).toEqual([1, 2, 3]);
    const all = dmabuf.mmap({ offset: 0, length: 8192 });
    all.write(4095, Uint8Array.of(7, 8));
    expect([...all.read(4094, 4)]).toEqual([0, 7, 8, 0]);
    expect(() => area.read(4096, 1)).toThrow(kernelError('EFAULT'));
    area.unmap();
    expect(() => area.read(0, 1)).toThrow(kernelError('EFAULT'));
    expect(() => area.unmap()).toThrow(/unmapped already/);
    all.unmap();
    dmabuf.put();
  });

  it.each([
    ['without an operation of the exporter', false, 0, 4096],
    ['of the sub-page tail', true, 8192, 1],
    ['beyond the end', true, 4096, 8192],
    ['of more than there is', true, 0, 12288],
    ['at an unaligned offset', true, 1, 4096],
    ['of nothing', true, 0, 0],
  ])('is EINVAL %s, and takes no reference', (_, hasOp, offset, length) => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder(hasOp ? { mmap: () => {} } : {}), { size: SIZE });
    expect(() => dmabuf.mmap({ offset, length })).toThrow(kernelError('EINVAL'));
    expect(dmabuf.refs).toBe(1);
    dmabuf.put();
  });

  it('keeps the buffer alive as long as it is mapped', () => {
    using machine = testMachine();
    const recording = recorder({ mmap: () => {} });
    const dmabuf = exported(machine, recording);
    const fd = dmabuf.fd();
    const area = dmabuf.mmap({ offset: 0, length: 4096 });
    FdTable.current(machine).close(fd);
    expect(machine.verify()).toMatchObject({ ok: true });
    expect(recording.log).toEqual([]);
    area.unmap();
    expect(recording.log).toEqual(['release']);
  });

  it('a private mapping keeps what is written to it, page by page', () => {
    using machine = testMachine();
    const fault = (_: VmArea, page: number): number => machine.memoryBase + page * 4096;
    const dmabuf = exported(machine, recorder({ mmap: (_, area) => void (area.ops = { fault }) }), { size: SIZE });
    const shared = dmabuf.mmap({ offset: 0, length: 8192 });
    const own = dmabuf.mmap({ offset: 0, length: 8192, shared: false });
    shared.write(4094, Uint8Array.of(1, 2, 3, 4));
    own.write(4095, Uint8Array.of(9));
    shared.write(4094, Uint8Array.of(5, 6, 7, 8));
    expect([...own.read(4094, 4)]).toEqual([1, 9, 7, 8]);
    expect([...shared.read(4094, 4)]).toEqual([5, 6, 7, 8]);
    own.unmap();
    shared.unmap();
    dmabuf.put();
  });

  it('does not write through an area without PROT_WRITE', () => {
    using machine = testMachine();
    const dmabuf = exported(
      machine,
      recorder({ mmap: (_, area) => void (area.ops = { fault: () => machine.memoryBase }) }),
    );
    const area = dmabuf.mmap({ offset: 0, length: 4096, writable: false, shared: false });
    expect(() => area.write(0, Uint8Array.of(1))).toThrow(kernelError('EFAULT'));
    expect(area.shared).toBe(false);
    area.unmap();
    dmabuf.put();
  });

  it('redirects an area of another file: no op, then overflow, then range, then the file changes', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'dma_buf_mmap');
    registerFileOps(machine, { name: 'drm', release: () => {} });
    const file = File.create(machine, { type: 'drm', priv: 0, flags: 2 });
    const dmabuf = exported(machine, recorder({ mmap: () => {} }), { size: SIZE });
    const area = VmArea.map(file, { length: 8192, pageOffset: 5, shared: true, writable: true }, (vma) => {
      const bare = exported(machine, recorder());
      expect(() => bare.mmapInto(vma, 2 ** 64)).toThrow(/has no mmap/);
      bare.put();
      expect(() => dmabuf.mmapInto(undefined as never, 0)).toThrow(kernelError('EINVAL'));
      expect(() => dmabuf.mmapInto(vma, 2 ** 64 - 1)).toThrow(kernelError('EOVERFLOW'));
      expect(() => dmabuf.mmapInto(vma, 1)).toThrow(kernelError('EINVAL'));
      expect(vma.file.ref).toBe(file.ref);
      dmabuf.mmapInto(vma, 0);
    });
    expect(area.file.ref).toBe(dmabuf.file.ref);
    expect(area.pageOffset).toBe(0);
    expect([file.count, dmabuf.refs]).toEqual([1, 2]);
    area.unmap();
    file.put();
    dmabuf.put();
  });
});
