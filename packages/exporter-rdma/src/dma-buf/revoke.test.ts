import { FdTable, ResvUsage } from '@dmabuf-emu/core';
import { isRevoked, liveMappings, type MmapEntry } from '@dmabuf-emu/exporter-rdma';
import { describe, expect, test } from 'vitest';
import { EntryStruct } from '#dist/mmap/entry-struct.js';
import { OnInvalidate, registerTestImporters, revocable, Session } from '#dist/testing/importer.test-worker.js';
import { asleepFor, startActor, until } from '../testing/actors.fixture.ts';
import { addWork } from '../testing/fences.fixture.ts';
import { record, resvWord } from '../testing/recorder.fixture.ts';
import { errno, type Rig, rig } from '../testing/rig.fixture.ts';
import { BDF } from '../testing/topology.fixture.ts';

const UNMAPS = 'dma_buf.drained';

function references(r: Rig, entry: MmapEntry): number {
  const p = r.machine.slab(EntryStruct).tryAt(entry.ref);
  return p === 0 ? 0 : EntryStruct.refs.load(r.machine.mem, p);
}

// drivers §6.6, revoke A
describe('the object is destroyed', () => {
  test('by its user: the buffer is revoked for good and lets go of the entry', () => {
    using r = rig();
    const { entry, dmabuf } = r.exported();
    const session = Session.attach(dmabuf, r.gpu);
    session.map();
    expect(references(r, entry)).toBe(2);
    expect(r.nic.destroyObject(dmabuf)).toBe(true);
    expect(session.invalidations).toBe(1);
    expect(session.mapped).toBe(false);
    expect(isRevoked(dmabuf)).toBe(true);
    expect(references(r, entry)).toBe(1);
    expect(() => session.map()).toThrow(errno('ENODEV'));
    expect(r.nic.destroyObject(dmabuf)).toBe(false);
    expect(session.invalidations).toBe(1);
    session.end();
    dmabuf.put();
    expect(entry.alive).toBe(true);
  });

  test('with its last reference', () => {
    using r = rig();
    const entry = r.nic.allocDm(0x1000);
    const fd = r.nic.exportDmaBufFd(entry.pgoff);
    expect(references(r, entry)).toBe(2);
    FdTable.current(r.machine).close(fd);
    expect(references(r, entry)).toBe(1);
  });

  test('with the program’s context', () => {
    using r = rig();
    const { dmabuf } = r.exported();
    const other = r.exported();
    const sessions = [dmabuf, other.dmabuf].map((buffer) => Session.attach(buffer, r.gpu));
    for (const session of sessions) session.map();
    r.nic.close();
    expect(sessions.map(({ mapped, invalidations }) => [mapped, invalidations])).toEqual([
      [false, 1],
      [false, 1],
    ]);
    for (const session of sessions) session.end();
    dmabuf.put();
    other.dmabuf.put();
  });

  test('other buffers of the entry are not touched', () => {
    using r = rig();
    const { entry, dmabuf } = r.exported();
    const other = r.nic.exportDmaBuf(entry.pgoff);
    const session = Session.attach(other, r.gpu);
    session.map();
    r.nic.destroyObject(dmabuf);
    expect(session.invalidations).toBe(0);
    expect(isRevoked(other)).toBe(false);
    session.end();
    other.put();
    dmabuf.put();
  });
});

// drivers §6.6, revoke B
describe('the driver takes the entry away', () => {
  test('all buffers of the entry are revoked; the pages are free when the last buffer is gone', () => {
    using r = rig();
    const { entry, dmabuf } = r.exported();
    const second = r.nic.exportDmaBuf(entry.pgoff);
    const sessions = [dmabuf, second].map((buffer) => Session.attach(buffer, r.gpu));
    for (const session of sessions) session.map();
    const { paddr } = entry;
    expect(r.nic.removeEntry(entry)).toBe(true);
    expect(sessions.map(({ mapped }) => mapped)).toEqual([false, false]);
    expect(references(r, entry)).toBe(2);
    expect(r.nic.allocDm(0x1000).paddr).not.toBe(paddr);
    for (const session of sessions) session.end();
    dmabuf.put();
    second.put();
    expect(references(r, entry)).toBe(0);
    expect(r.nic.allocDm(0x1000).paddr).toBe(paddr);
  });

  test('a later destruction of the object only drops references', () => {
    using r = rig();
    const { entry, dmabuf } = r.exported();
    const session = Session.attach(dmabuf, r.gpu);
    r.nic.removeEntry(entry);
    expect(r.nic.destroyObject(dmabuf)).toBe(true);
    expect(session.invalidations).toBe(1);
    session.end();
    dmabuf.put();
  });

  test('hot-unplug removes every entry', () => {
    using r = rig();
    const { entry, dmabuf } = r.exported();
    const session = Session.attach(dmabuf, r.gpu);
    session.map();
    r.nic.removeDriver();
    expect(session.mapped).toBe(false);
    expect(entry.alive).toBe(false);
    expect(() => r.nic.exportDmaBuf(entry.pgoff)).toThrow(errno('EIO'));
    session.end();
    dmabuf.put();
  });

  test('importers that die with the revoke are told once: there is no way back', () => {
    using r = rig();
    const { entry, dmabuf } = r.exported();
    const session = Session.attach(dmabuf, r.gpu, OnInvalidate.DIE);
    session.map();
    r.nic.removeEntry(entry);
    r.nic.destroyObject(dmabuf);
    expect(session.dead).toBe(true);
    expect(session.invalidations).toBe(1);
    session.end();
    dmabuf.put();
  });
});

test('when an importer is not registered in this thread, nothing is lost and it can be tried again', () => {
  using r = rig();
  const { entry, dmabuf } = r.exported();
  const session = Session.attach(dmabuf, r.gpu);
  session.map();
  r.machine.drivers.register('importer', revocable.name, undefined);
  const complaint = "importer driver 'test-revocable' is not registered";
  expect(() => r.nic.destroyObject(dmabuf)).toThrow(complaint);
  expect(() => r.nic.removeEntry(entry)).toThrow(complaint);
  expect(() => r.nic.removeDriver()).toThrow(complaint);
  expect(() => r.nic.close()).toThrow(complaint);
  expect([r.nic.isOpen, entry.alive, session.mapped, isRevoked(dmabuf)]).toEqual([true, true, true, false]);
  registerTestImporters(r.machine);
  r.nic.close();
  expect(session.mapped).toBe(false);
  session.end();
  dmabuf.put();
});

describe('a revoke waits for fences, then for unmaps', () => {
  test.each(['destroy', 'remove-entry', 'remove-driver', 'close'] as const)('%s', async (trigger) => {
    using r = rig();
    const { entry, dmabuf } = r.exported();
    const session = Session.attach(dmabuf, r.gpu, OnInvalidate.NOTE);
    session.map();
    const work = addWork(r.machine, dmabuf, ResvUsage.BOOKKEEP);
    const job = { do: trigger, bdf: BDF.NIC, dmabuf: dmabuf.ref, pgoff: entry.pgoff };
    const actor = await startActor(r.machine, job);
    await until('the importer to be told', () => session.stale);
    await asleepFor(actor, 'fence');
    expect(dmabuf.resv.isLocked).toBe(true);
    work.signal();
    await asleepFor(actor, UNMAPS);
    expect(dmabuf.resv.isLocked).toBe(false);
    expect(liveMappings(dmabuf)).toBe(0);
    expect(references(r, entry)).toBeGreaterThan(1);
    expect(() => session.map()).toThrow(errno('ENODEV'));
    session.unmap();
    await actor.result;
    expect(references(r, entry)).toBe(trigger === 'close' ? 0 : 1);
    session.end();
    dmabuf.put();
  });

  test.each(Object.entries(ResvUsage))('for fences of class %s', async (_, usage) => {
    using r = rig();
    const { dmabuf } = r.exported();
    const work = addWork(r.machine, dmabuf, usage);
    const actor = await startActor(r.machine, { do: 'destroy', bdf: BDF.NIC, dmabuf: dmabuf.ref });
    await asleepFor(actor, 'fence');
    work.signal();
    expect(await actor.result).toBe(true);
    dmabuf.put();
  });

  // drivers §10.4 F34
  test('the second buffer of an entry is revoked when the first is drained', async () => {
    using r = rig();
    const { entry, dmabuf } = r.exported();
    const second = r.nic.exportDmaBuf(entry.pgoff);
    const slow = Session.attach(dmabuf, r.gpu, OnInvalidate.NOTE);
    const quick = Session.attach(second, r.gpu);
    slow.map();
    quick.map();
    const actor = await startActor(r.machine, { do: 'remove-entry', bdf: BDF.NIC, pgoff: entry.pgoff });
    await asleepFor(actor, UNMAPS);
    expect(isRevoked(second)).toBe(false);
    expect(quick.mapped).toBe(true);
    slow.unmap();
    await actor.result;
    expect(quick.mapped).toBe(false);
    slow.end();
    quick.end();
    dmabuf.put();
    second.put();
  });
});

// drivers §14.6
test('hot-unplug, step by step', () => {
  using r = rig({ traceEvents: 256 });
  const { entry, dmabuf } = r.exported();
  const session = Session.attach(dmabuf, r.gpu);
  session.map();
  const revoke = ['', '', '', '', 'wait fences', '', 'kref_put, wait completion', 're-arm'];
  const lock = r.machine.slab(EntryStruct).at(entry.ref) + EntryStruct.dmabufsLock.at;
  const watched = {
    machine: r.machine,
    locks: { dmabufs_lock: lock, resv: resvWord(dmabuf) },
    events: {
      rdma_entry_remove: 'driver_removed=true',
      rdma_revoke: 'revoked=true',
      rdma_entry_free: 'mmap_free',
      dma_buf_revoke: ([, step]: readonly number[]) => revoke[step!] || undefined,
      dma_buf_unmap_attachment: 'unmap',
    },
  };
  expect(record(watched, () => r.nic.removeDriver())).toEqual([
    'L(dmabufs_lock)',
    'driver_removed=true',
    'L(resv)',
    'revoked=true',
    'importer: invalidate',
    'importer: zap',
    'unmap',
    'wait fences',
    'U(resv)',
    'kref_put, wait completion',
    're-arm',
    'U(dmabufs_lock)',
  ]);
  session.end();
  expect(record(watched, () => dmabuf.put())).toEqual([
    'L(dmabufs_lock)',
    'L(resv)',
    'U(resv)',
    'U(dmabufs_lock)',
    'mmap_free',
  ]);
});

test('locks are taken in one order: dmabufs_lock, then resv', () => {
  using r = rig();
  const { entry, dmabuf } = r.exported();
  const second = r.nic.exportDmaBuf(entry.pgoff);
  r.nic.destroyObject(second);
  r.nic.removeEntry(entry);
  dmabuf.put();
  second.put();
  const order = r.machine.lockdep.order();
  expect(order).toContainEqual(['rdma.dmabufs_lock', 'dma_resv']);
  expect(order.some(([outer, inner]) => outer === 'dma_resv' && inner.startsWith('rdma'))).toBe(false);
  expect(r.machine.diag.count('lockdep')).toBe(0);
});
