import { DmaBuf, DmaDirection, FdTable } from '@dmabuf-emu/core';
import { DmaHeap, readKernel, registerHeaps, writeKernel } from '@dmabuf-emu/exporter-heap';
import type { Machine } from '@dmabuf-emu/shm';
import { describe, expect, it } from 'vitest';
import { errno, rig, type Rig } from '../testing/rig.fixture.ts';

const PAGE = 4096;
const { BIDIRECTIONAL, TO_DEVICE, FROM_DEVICE } = DmaDirection;
const HEAPS = ['system', 'default_cma_region'];

function heap(r: Rig, name = 'system'): DmaHeap {
  registerHeaps(r.machine);
  return DmaHeap.find(r.machine, name)!;
}

function leftovers(machine: Machine): string[] {
  const kinds = ['heap_buffer', 'heap_attachment', 'dma_buf', 'dma_buf_attachment', 'sg_table', 'page', 'file', 'vmap'];
  const { counts, errors } = machine.verify();
  return [...errors, ...kinds.filter((kind) => counts[kind] !== 0)];
}

describe.each(HEAPS)('a buffer of heap %s', (name) => {
  it('is the same memory for the CPU, the kernel and a device', () => {
    using r = rig();
    const dmabuf = heap(r, name).allocBuffer(37 * PAGE);
    const area = dmabuf.mmap({ offset: 0, length: 37 * PAGE });
    expect(area.ops?.flags).toEqual(['pf', 'io', 'de', 'dd']);
    const bytes = Uint8Array.from({ length: 37 * PAGE }, (_, i) => i / 100);
    const attachment = dmabuf.attach(r.nic.device);
    const table = attachment.mapUnlocked(BIDIRECTIONAL);
    // One range of IOVAs, whatever the entries.
    r.nic.dma.write(table.address(0), bytes);
    expect(Buffer.compare(area.read(0, bytes.length), bytes)).toBe(0);
    const mapping = dmabuf.vmapUnlocked();
    expect(Buffer.compare(readKernel(r.machine, mapping.address, bytes.length), bytes)).toBe(0);
    writeKernel(r.machine, mapping.address + 20 * PAGE - 1, Uint8Array.of(0xaa, 0xbb));
    expect([...r.nic.dma.read(table.address(0) + 20 * PAGE - 1, 2)]).toEqual([0xaa, 0xbb]);
    const part = dmabuf.mmap({ offset: 20 * PAGE, length: 3 * PAGE });
    expect([...part.read(0, 1)]).toEqual([0xbb]);
    dmabuf.vunmapUnlocked(mapping);
    for (const mapped of [area, part]) mapped.unmap();
    attachment.unmapUnlocked(table, BIDIRECTIONAL);
    dmabuf.detach(attachment);
    dmabuf.put();
    expect(r.usedPages).toBe(0);
  });

  it('outlives its descriptor while it is mapped', () => {
    using r = rig();
    const dmabuf = heap(r, name).allocBuffer(PAGE);
    const area = dmabuf.mmap({ offset: 0, length: PAGE });
    dmabuf.put();
    area.write(5, Uint8Array.of(9));
    expect([...area.read(5, 1)]).toEqual([9]);
    area.pageOffset = 1;
    expect(() => area.read(0, 1)).toThrow(expect.objectContaining({ name: 'BusError' }));
    area.unmap();
  });

  it('is begun and ended at any time; mapped attachments are synced', () => {
    using r = rig({ traceEvents: 256 });
    const dmabuf = heap(r, name).allocBuffer(PAGE);
    dmabuf.endCpuAccess(TO_DEVICE);
    const [mapped, idle] = [dmabuf.attach(r.nic.device), dmabuf.attach(r.nic.device)];
    const table = mapped.mapUnlocked(FROM_DEVICE);
    dmabuf.beginCpuAccess(FROM_DEVICE);
    dmabuf.endCpuAccess(FROM_DEVICE);
    mapped.unmapUnlocked(table, FROM_DEVICE);
    dmabuf.beginCpuAccess(FROM_DEVICE);
    const syncs = r.machine.trace.read().filter((event) => event.name.startsWith('dma_sync'));
    expect(syncs.map((event) => [event.name, event.args[1], event.args[2]])).toEqual(
      ['cpu', 'device'].map((side) => [`dma_sync_sgtable_for_${side}`, r.nic.device.nameId, FROM_DEVICE]),
    );
    for (const attachment of [mapped, idle]) dmabuf.detach(attachment);
    dmabuf.put();
  });

  it('may be mapped by several attachments, each with its own table', () => {
    using r = rig();
    const dmabuf = heap(r, name).allocBuffer(3 * PAGE);
    const attachments = [dmabuf.attach(r.nic.device), dmabuf.attach(r.nic.device)];
    const tables = attachments.map((attachment) => attachment.mapUnlocked(BIDIRECTIONAL));
    r.nic.dma.write(tables[0]!.address(0), Uint8Array.of(1));
    expect([...r.nic.dma.read(tables[1]!.address(0), 1)]).toEqual([1]);
    attachments.forEach((attachment, i) => {
      attachment.unmapUnlocked(tables[i]!, BIDIRECTIONAL);
      const again = attachment.mapUnlocked(TO_DEVICE);
      attachment.unmapUnlocked(again, TO_DEVICE);
      dmabuf.detach(attachment);
    });
    dmabuf.put();
  });

  it('mapped twice through one attachment loses the first mapping, and says so', () => {
    const machine = ((): Machine => {
      const r = rig();
      r.machine.diag.expect('violation', 'heap-mapped-twice');
      const dmabuf = heap(r, name).allocBuffer(PAGE);
      const attachment = dmabuf.attach(r.nic.device);
      const tables = [TO_DEVICE, TO_DEVICE].map((direction) => attachment.mapUnlocked(direction));
      expect(tables[0]!.ref).toBe(tables[1]!.ref);
      for (const table of tables) attachment.unmapUnlocked(table, TO_DEVICE);
      dmabuf.detach(attachment);
      dmabuf.put();
      return r.machine;
    })();
    expect(machine.verify().leaks.join()).toMatch(/1 pages of IOVAs/);
    expect(machine.diag.unexpected()).toEqual([]);
    machine.leave();
  });

  it.each([true, false])('leaves nothing when the n-th allocation fails, for every n (IOMMU: %s)', (iommu) => {
    using r = rig({ iommu });
    const from = heap(r, name);
    const ok = (): boolean => leftovers(r.machine).length === 0;
    let outcomes = 0;
    for (let n = 1; n < 200; n++) {
      const before = r.machine.faults.count;
      r.machine.faults.failNth(n);
      r.machine.diag.expect('warn', 'dma_buf_vmap');
      try {
        live(r, from);
      } catch (error) {
        expect(error).toEqual(errno('ENOMEM'));
        outcomes++;
      }
      const failed = r.machine.faults.count > before;
      r.machine.faults.off();
      expect(ok(), `allocation ${n}: ${leftovers(r.machine).join()}`).toBe(true);
      if (failed) continue;
      expect(n).toBeGreaterThan(10);
      expect(outcomes).toBeGreaterThan(8);
      FdTable.exit(r.machine);
      return;
    }
    throw new Error('still allocating');
  });
});

function live(r: Rig, from: DmaHeap): void {
  const fd = from.alloc({ len: 20 * PAGE });
  const dmabuf = DmaBuf.get(r.machine, fd);
  try {
    const attachment = dmabuf.attach(r.nic.device);
    try {
      attachment.unmapUnlocked(attachment.mapUnlocked(BIDIRECTIONAL), BIDIRECTIONAL);
      dmabuf.vunmapUnlocked(dmabuf.vmapUnlocked());
    } finally {
      dmabuf.detach(attachment);
    }
  } finally {
    dmabuf.put();
    FdTable.current(r.machine).close(fd);
  }
}

describe('a buffer of the system heap', () => {
  it('consists of runs of 1 MiB, 64 KiB and 4 KiB', () => {
    using r = rig({ iommu: false });
    const dmabuf = heap(r).allocBuffer((256 + 2 * 16 + 3) * PAGE);
    const attachment = dmabuf.attach(r.nic.device);
    const table = attachment.mapUnlocked(TO_DEVICE);
    const lengths = table.entries().map(({ length }) => length / PAGE);
    expect(lengths).toEqual([256, 16, 16, 1, 1, 1]);
    const area = dmabuf.mmap({ offset: 0, length: dmabuf.size });
    for (const page of [0, 255, 256, 271, 272, 287, 288, 290]) {
      area.write(page * PAGE, Uint8Array.of(page % 251));
    }
    let first = 0;
    for (const { address, length } of table.entries()) {
      for (const page of [0, 255, 256, 271, 272, 287, 288, 290]) {
        const at = (page - first) * PAGE;
        if (at >= 0 && at < length) expect([...r.nic.dma.read(address + at, 1)], `page ${page}`).toEqual([page % 251]);
      }
      first += length / PAGE;
    }
    area.unmap();
    attachment.unmapUnlocked(table, TO_DEVICE);
    dmabuf.detach(attachment);
    dmabuf.put();
  });

  it('takes smaller runs where there are no larger ones, never larger ones again', () => {
    using r = rig({ iommu: false, ramBytes: 600 * PAGE });
    const dmabuf = heap(r).allocBuffer(560 * PAGE);
    const attachment = dmabuf.attach(r.nic.device);
    const table = attachment.mapUnlocked(TO_DEVICE);
    const lengths = table.entries().map(({ length }) => length / PAGE);
    expect(lengths).toEqual(lengths.toSorted((a, b) => b - a));
    expect(lengths.reduce((sum, pages) => sum + pages, 0)).toBe(560);
    attachment.unmapUnlocked(table, TO_DEVICE);
    dmabuf.detach(attachment);
    dmabuf.put();
  });

  it('is mapped privately only within one run of pages', () => {
    using r = rig();
    const dmabuf = heap(r).allocBuffer(18 * PAGE);
    const own = (page: number, pages: number): void =>
      dmabuf.mmap({ offset: page * PAGE, length: pages * PAGE, shared: false }).unmap();
    for (const [page, pages] of [
      [16, 2],
      [0, 17],
    ] as const) {
      expect(() => own(page, pages)).toThrow(errno('EINVAL'));
    }
    const area = dmabuf.mmap({ offset: 0, length: 16 * PAGE, shared: false });
    const shared = dmabuf.mmap({ offset: 0, length: PAGE });
    area.write(0, Uint8Array.of(1));
    expect([...shared.read(0, 1), ...area.read(0, 1)]).toEqual([0, 1]);
    area.unmap();
    shared.unmap();
    dmabuf.put();
  });
});

describe('a buffer of a CMA heap', () => {
  it('is one run of pages, aligned', () => {
    using r = rig({ iommu: false });
    const dmabuf = heap(r, 'default_cma_region').allocBuffer(20 * PAGE);
    const attachment = dmabuf.attach(r.nic.device);
    const table = attachment.mapUnlocked(TO_DEVICE);
    expect(table.entries()).toEqual([{ address: table.address(0), length: 20 * PAGE }]);
    expect(table.address(0) % (32 * PAGE)).toBe(0);
    attachment.unmapUnlocked(table, TO_DEVICE);
    dmabuf.detach(attachment);
    expect(() => dmabuf.mmap({ offset: 0, length: PAGE, shared: false })).toThrow(errno('EINVAL'));
    dmabuf.put();
  });

  it('that a device cannot reach is ENOMEM, where the system heap says EIO', () => {
    using r = rig({ iommu: false, dmaMask: 0xfff });
    r.machine.diag.expect('warn', 'dma_direct_map_phys');
    for (const [name, code] of [
      ['default_cma_region', 'ENOMEM'],
      ['system', 'EIO'],
    ] as const) {
      const dmabuf = heap(r, name).allocBuffer(PAGE);
      const attachment = dmabuf.attach(r.nic.device);
      expect(() => attachment.mapUnlocked(TO_DEVICE)).toThrow(errno(code));
      dmabuf.detach(attachment);
      dmabuf.put();
    }
  });
});
