import { defineImporter, DmaBuf, DmaDirection, FdTable, registerDrivers } from '@dmabuf-emu/core';
import {
  createUdmabuf,
  createUdmabufList,
  Falloc,
  Memfd,
  readKernel,
  Seal,
  writeKernel,
} from '@dmabuf-emu/exporter-heap';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { errno, rig, type Rig } from '../testing/rig.fixture.ts';

const PAGE = 4096;
const { BIDIRECTIONAL, TO_DEVICE, FROM_DEVICE } = DmaDirection;

let r: Rig;
let m: Memfd;
beforeEach(() => {
  r = rig({ traceEvents: 1024 });
});
afterEach(() => {
  FdTable.exit(r.machine);
  r[Symbol.dispose]();
});

/** A buffer over a whole new memfd. */
function buffer(pages: number): DmaBuf {
  m = Memfd.create(r.machine, 'm');
  m.truncate(pages * PAGE);
  m.addSeals(Seal.SHRINK);
  const fd = createUdmabuf(r.machine, { memfd: m.fd(), offset: 0, size: pages * PAGE });
  return DmaBuf.get(r.machine, fd);
}

describe('memory of a udmabuf', () => {
  it('is that of the memfd, until the memfd makes a hole', () => {
    const dmabuf = buffer(2);
    const area = dmabuf.mmap({ offset: 0, length: 2 * PAGE });
    m.pwrite(0, Uint8Array.of(0xa1, 0xa2));
    expect([...area.read(0, 2)]).toEqual([0xa1, 0xa2]);
    area.write(PAGE, Uint8Array.of(0x22));
    expect([...m.pread(PAGE, 1)]).toEqual([0x22]);
    m.fallocate(Falloc.KEEP_SIZE | Falloc.PUNCH_HOLE, 0, PAGE);
    expect([...m.pread(0, 2), ...area.read(0, 2)]).toEqual([0, 0, 0xa1, 0xa2]);
    m.pwrite(0, Uint8Array.of(0xb1));
    expect([...m.pread(0, 1), ...area.read(0, 1)]).toEqual([0xb1, 0xa1]);
    area.unmap();
    dmabuf.put();
  });

  it('outlives memfd and descriptor while it is mapped', () => {
    const dmabuf = buffer(2);
    const area = dmabuf.mmap({ offset: PAGE, length: PAGE });
    area.write(0, Uint8Array.of(5));
    dmabuf.put();
    FdTable.exit(r.machine);
    expect([...area.read(0, 1)]).toEqual([5]);
    expect(r.usedPages).toBe(2);
    area.unmap();
    expect(r.usedPages).toBe(0);
  });

  it('may be the same page twice, and pages of two memfds', () => {
    const one = buffer(2);
    const fd = FdTable.current(r.machine).entries()[0]!.fd;
    const other = Memfd.create(r.machine, 'other');
    other.truncate(PAGE);
    other.addSeals(Seal.SHRINK);
    other.pwrite(0, Uint8Array.of(0xbb));
    const items = [
      { memfd: fd, offset: PAGE, size: PAGE },
      { memfd: other.fd(), offset: 0, size: PAGE },
      { memfd: fd, offset: PAGE, size: PAGE },
    ];
    const both = DmaBuf.get(r.machine, createUdmabufList(r.machine, { flags: 0, count: 3, items: () => items }));
    const area = both.mmap({ offset: 0, length: 3 * PAGE });
    area.write(0, Uint8Array.of(0x77));
    expect([area.read(PAGE, 1)[0], area.read(2 * PAGE, 1)[0]]).toEqual([0xbb, 0x77]);
    const first = one.mmap({ offset: 0, length: 2 * PAGE });
    expect([...first.read(PAGE, 1)]).toEqual([0x77]);
    first.unmap();
    area.unmap();
    one.put();
    both.put();
  });

  it('cannot be sealed against writing while the buffer lives, but against future writing', () => {
    const dmabuf = buffer(2);
    expect(() => m.addSeals(Seal.WRITE)).toThrow(errno('EBUSY'));
    m.addSeals(Seal.FUTURE_WRITE);
    m.addSeals(Seal.GROW);
    expect(m.seals).toBe(Seal.SHRINK | Seal.FUTURE_WRITE | Seal.GROW);
    dmabuf.put();
    FdTable.current(r.machine).close(1);
    m.addSeals(Seal.WRITE);
    expect(m.seals & Seal.WRITE).toBe(Seal.WRITE);
  });

  it('is mapped shared or not at all', () => {
    const dmabuf = buffer(2);
    expect(() => dmabuf.mmap({ offset: 0, length: PAGE, shared: false })).toThrow(errno('EINVAL'));
    expect(() => dmabuf.mmap({ offset: 0, length: 3 * PAGE })).toThrow(errno('EINVAL'));
    const area = dmabuf.mmap({ offset: 0, length: 2 * PAGE, writable: false });
    expect(area.ops?.flags).toEqual(['pf', 'de', 'dd']);
    area.pageOffset = 1;
    expect(() => area.read(PAGE, 1)).toThrow(expect.objectContaining({ name: 'BusError' }));
    area.unmap();
    dmabuf.put();
  });

  it('lies in a row for the kernel', () => {
    const dmabuf = buffer(3);
    const mapping = dmabuf.vmapUnlocked();
    writeKernel(r.machine, mapping.address + 2 * PAGE - 1, Uint8Array.of(1, 2));
    expect([...m.pread(2 * PAGE - 1, 2)]).toEqual([1, 2]);
    expect([...readKernel(r.machine, mapping.address, 1)]).toEqual([0]);
    dmabuf.vunmapUnlocked(mapping);
    r.machine.diag.expect('warn', 'dma_buf_vmap');
    r.machine.faults.failNth(1);
    expect(() => dmabuf.vmapUnlocked()).toThrow(errno('EINVAL'));
    dmabuf.put();
  });
});

describe('CPU access to a udmabuf', () => {
  it('ends only after it was begun once', () => {
    const dmabuf = buffer(2);
    for (const direction of [BIDIRECTIONAL, TO_DEVICE, FROM_DEVICE]) {
      expect(() => dmabuf.endCpuAccess(direction)).toThrow(errno('EINVAL'));
    }
    dmabuf.beginCpuAccess(FROM_DEVICE);
    for (const direction of [FROM_DEVICE, TO_DEVICE, TO_DEVICE]) dmabuf.endCpuAccess(direction);
    dmabuf.beginCpuAccess(TO_DEVICE);
    dmabuf.beginCpuAccess(TO_DEVICE);
    dmabuf.put();
  });

  it('is not begun when memory ends', () => {
    const dmabuf = buffer(2);
    r.machine.faults.failNth(1);
    expect(() => dmabuf.beginCpuAccess(TO_DEVICE)).toThrow(errno('ENOMEM'));
    expect(() => dmabuf.endCpuAccess(TO_DEVICE)).toThrow(errno('EINVAL'));
    dmabuf.put();
  });

  it.each([
    ['7.1', 2],
    ['7.1-rc2', 1],
    ['7.3', 2],
  ] as const)('of kernel %s syncs for the CPU %i times when begun twice', (kernel, syncs) => {
    using other = rig({ kernel, traceEvents: 256 });
    const made = Memfd.create(other.machine, 'm');
    made.truncate(PAGE);
    made.addSeals(Seal.SHRINK);
    const fd = createUdmabuf(other.machine, { memfd: made.fd(), offset: 0, size: PAGE });
    const dmabuf = DmaBuf.get(other.machine, fd);
    dmabuf.beginCpuAccess(FROM_DEVICE);
    dmabuf.beginCpuAccess(FROM_DEVICE);
    const events = other.machine.trace.read().map(({ name }) => name);
    expect(events.filter((name) => name === 'dma_sync_sgtable_for_cpu')).toHaveLength(syncs);
    dmabuf.put();
    FdTable.exit(other.machine);
  });
});

describe('a device that imports a udmabuf', () => {
  it.each([true, false])('finds the bytes of the memfd (IOMMU: %s)', (iommu) => {
    using other = rig({ iommu });
    const made = Memfd.create(other.machine, 'm');
    made.truncate(20 * PAGE);
    made.addSeals(Seal.SHRINK);
    const fd = createUdmabuf(other.machine, { memfd: made.fd(), offset: PAGE, size: 19 * PAGE });
    const dmabuf = DmaBuf.get(other.machine, fd);
    const attachment = dmabuf.attach(other.nic.device);
    const table = attachment.mapUnlocked(BIDIRECTIONAL);
    expect(table.entries().reduce((sum, { length }) => sum + length, 0)).toBe(19 * PAGE);
    other.nic.dma.write(table.address(0), Uint8Array.of(1, 2, 3));
    expect([...made.pread(PAGE, 3)]).toEqual([1, 2, 3]);
    made.pwrite(20 * PAGE - 1, Uint8Array.of(9));
    const last = table.nents - 1;
    expect([...other.nic.dma.read(table.address(last) + table.length(last) - 1, 1)]).toEqual([9]);
    attachment.unmapUnlocked(table, BIDIRECTIONAL);
    dmabuf.detach(attachment);
    dmabuf.put();
    FdTable.exit(other.machine);
  });

  it('may be dynamic, and map it more than once', () => {
    const importer = defineImporter({ name: 'nic', allowPeer2Peer: true, invalidateMappings: () => {} });
    registerDrivers(r.machine, [importer]);
    const dmabuf = buffer(4);
    const attachment = dmabuf.attachDynamic(r.nic.device, importer);
    const tables = [TO_DEVICE, FROM_DEVICE].map((direction) => attachment.mapUnlocked(direction));
    expect(tables[0]!.address(0)).not.toBe(tables[1]!.address(0));
    r.nic.dma.write(tables[1]!.address(0), Uint8Array.of(3));
    expect([...r.nic.dma.read(tables[0]!.address(0), 1)]).toEqual([3]);
    attachment.unmapUnlocked(tables[0]!, TO_DEVICE);
    attachment.unmapUnlocked(tables[1]!, FROM_DEVICE);
    dmabuf.detach(attachment);
    dmabuf.put();
  });
});

describe('when the n-th allocation fails, for every n', () => {
  it('a udmabuf is made, mapped and accessed, or nothing is left', () => {
    m = Memfd.create(r.machine, 'm');
    m.truncate(3 * PAGE);
    m.addSeals(Seal.SHRINK);
    const fd = m.fd();
    for (let n = 1; n < 200; n++) {
      const before = r.machine.faults.count;
      r.machine.faults.failNth(n);
      try {
        live(fd);
      } catch (error) {
        expect(error).toEqual(errno('ENOMEM'));
      }
      const failed = r.machine.faults.count > before;
      r.machine.faults.off();
      const { counts, errors } = r.machine.verify();
      const left = ['udmabuf', 'page_list', 'dma_buf', 'dma_buf_attachment', 'sg_table'].map((kind) => counts[kind]);
      expect([left, errors], `allocation ${n}`).toEqual([[0, 0, 0, 0, 0], []]);
      m.fallocate(Falloc.KEEP_SIZE | Falloc.PUNCH_HOLE, 0, 3 * PAGE);
      if (failed) continue;
      expect(n).toBeGreaterThan(10);
      return;
    }
    throw new Error('still allocating');
  });

  function live(memfd: number): void {
    const fd = createUdmabuf(r.machine, { memfd, offset: 0, size: 3 * PAGE });
    const dmabuf = DmaBuf.get(r.machine, fd);
    try {
      dmabuf.beginCpuAccess(BIDIRECTIONAL);
      const attachment = dmabuf.attach(r.nic.device);
      try {
        attachment.unmapUnlocked(attachment.mapUnlocked(BIDIRECTIONAL), BIDIRECTIONAL);
      } finally {
        dmabuf.detach(attachment);
      }
    } finally {
      dmabuf.put();
      FdTable.current(r.machine).close(fd);
    }
  }
});
