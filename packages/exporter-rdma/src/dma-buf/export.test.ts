import { DmaBuf, DmaDirection, FdTable, File, OpenFlags } from '@dmabuf-emu/core';
import { isRevoked, liveMappings } from '@dmabuf-emu/exporter-rdma';
import { setSyncHook } from '@dmabuf-emu/shm';
import { describe, expect, test } from 'vitest';
import { EntryStruct } from '#dist/mmap/entry-struct.js';
import { irrevocable, OnInvalidate, pageBound, Session } from '#dist/testing/importer.test-worker.js';
import { errno, rig } from '../testing/rig.fixture.ts';
import { BAR, BDF } from '../testing/topology.fixture.ts';

// drivers §6.6
describe('export', () => {
  test('a buffer over all of the entry, read-only', () => {
    using r = rig();
    const { entry, dmabuf } = r.exported();
    expect(dmabuf.size).toBe(entry.length);
    expect(dmabuf.expName).toBe('ib_uverbs');
    expect(dmabuf.refs).toBe(1);
    expect(dmabuf.file.flags & OpenFlags.ACCMODE).toBe(OpenFlags.RDONLY);
    expect(isRevoked(dmabuf)).toBe(false);
    dmabuf.put();
  });

  test('doorbells can be exported too, and an entry more than once', () => {
    using r = rig();
    const { pgoff } = r.nic.allocUar();
    const buffers = [r.nic.exportDmaBuf(pgoff), r.nic.exportDmaBuf(BigInt(pgoff))];
    expect(buffers.map(({ size }) => size)).toEqual([0x1000, 0x1000]);
    for (const dmabuf of buffers) dmabuf.put();
  });

  test('EINVAL: no entry has that offset', () => {
    using r = rig();
    const entry = r.nic.allocDm(0x2000);
    expect(() => r.nic.exportDmaBuf(0)).toThrow(errno('EINVAL'));
    expect(() => r.nic.exportDmaBuf(entry.pgoff + 0x1000)).toThrow(errno('EINVAL'));
    expect(() => r.nic.exportDmaBuf(2n ** 64n - 1n)).toThrow(errno('EINVAL'));
    expect(() => r.nic.exportDmaBuf(2n ** 64n)).toThrow('an offset is a whole number');
  });

  // drivers §10.4 F35
  test.each([
    ['starts', -0x1000],
    ['ends', BAR.size - 0x1000],
  ])('EINVAL: the entry %s outside every memory BAR', (_, offset) => {
    using r = rig();
    const entry = r.nic.allocDm(0x2000);
    const p = r.machine.slab(EntryStruct).at(entry.ref);
    EntryStruct.paddr.set(r.machine.mem, p, BAR.start + offset);
    expect(() => r.nic.exportDmaBuf(entry.pgoff)).toThrow(errno('EINVAL'));
    EntryStruct.paddr.set(r.machine.mem, p, BAR.start);
  });

  test('EOPNOTSUPP: the BAR cannot be a peer’s target', () => {
    using r = rig({ bdf: BDF.UNMAPPABLE });
    const entry = r.nic.allocDm(0x1000);
    expect(() => r.nic.exportDmaBuf(entry.pgoff)).toThrow(errno('EOPNOTSUPP'));
  });

  // drivers §10.4 F32, F33; §14.6
  test('EIO: the driver takes the entry away meanwhile; afterwards EINVAL', () => {
    using r = rig();
    const entry = r.nic.allocDm(0x1000);
    const { pgoff } = entry;
    const lock = r.machine.slab(EntryStruct).at(entry.ref) + EntryStruct.dmabufsLock.at;
    setSyncHook((label, at) => {
      if (label !== 'mutex.lock' || at !== lock) return;
      setSyncHook(null);
      r.nic.removeEntry(entry);
    });
    expect(() => r.nic.exportDmaBuf(pgoff)).toThrow(errno('EIO'));
    setSyncHook(null);
    expect(() => r.nic.exportDmaBuf(pgoff)).toThrow(errno('EINVAL'));
    expect(File.openCount(r.machine)).toBe(0);
  });

  test('the descriptor comes first: EMFILE makes nothing', () => {
    using r = rig();
    const { pgoff } = r.nic.allocDm(0x1000);
    FdTable.create(r.machine, { limit: 1 }).join();
    const table = FdTable.current(r.machine);
    expect(() => r.nic.exportDmaBufFd(0)).toThrow(errno('EINVAL'));
    expect(table.size).toBe(0);
    const fd = r.nic.exportDmaBufFd(pgoff);
    expect(table.entries()[0]).toMatchObject({ fd, cloexec: true });
    expect(() => r.nic.exportDmaBufFd(0)).toThrow(errno('EMFILE'));
    const dmabuf = DmaBuf.get(r.machine, fd);
    expect(dmabuf.refs).toBe(2);
    dmabuf.put();
    table.close(fd);
  });
});

describe('operations', () => {
  test('an importer that cannot do peer-to-peer is refused, one that cannot be told is not', () => {
    using r = rig();
    const { dmabuf } = r.exported();
    expect(() => dmabuf.attach(r.gpu)).toThrow(errno('EOPNOTSUPP'));
    expect(() => Session.attach(dmabuf, r.gpu, OnInvalidate.UNMAP, pageBound)).toThrow(errno('EOPNOTSUPP'));
    Session.attach(dmabuf, r.gpu, OnInvalidate.UNMAP, irrevocable).end();
    expect(dmabuf.attachments()).toEqual([]);
    dmabuf.put();
  });

  test('nobody can pin', () => {
    using r = rig();
    const { dmabuf } = r.exported();
    const session = Session.attach(dmabuf, r.gpu);
    expect(() => session.mapPinned()).toThrow(errno('EOPNOTSUPP'));
    session.end();
    dmabuf.put();
  });

  test('map gives the entry’s one range, count by count', () => {
    using r = rig();
    r.nic.allocDm(0x1000);
    const { entry, dmabuf } = r.exported();
    const session = Session.attach(dmabuf, r.gpu);
    const tables = [0, 1].map(() => session.attachment.mapUnlocked(DmaDirection.BIDIRECTIONAL));
    expect(liveMappings(dmabuf)).toBe(2);
    const [range] = tables[0]!.entries();
    expect(range!.length).toBe(entry.length);
    expect(r.pci.function(BDF.GPU).iommu.iovaToPhys(range!.address)).toBe(entry.paddr);
    r.pci.function(BDF.GPU).dma.write(range!.address, Uint8Array.of(42));
    expect(r.nic.readDm(entry, 0, 1)).toEqual(Uint8Array.of(42));
    for (const table of tables) session.attachment.unmapUnlocked(table, DmaDirection.BIDIRECTIONAL);
    expect(liveMappings(dmabuf)).toBe(0);
    session.end();
    dmabuf.put();
    expect(r.pci.faults.list()).toEqual([]);
  });
});
