import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import type { RevocablePinnedSession } from '#dist/revocable-pinned/revocable-pinned-session.js';
import { laxExporter, rdmaLike, revocableOf, revoke, unrevoke } from '#dist/testing/bar-exporter.test-worker.js';
import { attach, buffer, pciOf, steps } from '#dist/testing/rig.test-worker.js';
import { eventsSince } from '../testing/trace.fixture.ts';

const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });

describe('a revocable pinned importer', () => {
  // spec: drivers §14.3
  it('follows the reference sequence: once revoked, dead for good', () => {
    using machine = testMachine({ traceEvents: 1024 });
    const pci = pciOf(machine, true);
    const dmabuf = buffer(machine);
    const events = eventsSince(machine);
    const session = attach('revocable-pinned', dmabuf) as RevocablePinnedSession;
    expect(events()).toEqual(['dynamic_attach', 'pin', 'map_attachment']);
    expect(revocableOf(dmabuf).mapCount).toBe(2);
    expect(session.attachment.pins).toBe(1);
    expect(steps(session, 5)).toMatchObject({ outcome: 'ok', mismatches: [] });
    revoke(dmabuf);
    expect(events()).toEqual([
      'revoke 1',
      'revoke 2',
      'revoke 3',
      'invalidate_mappings',
      'unmap_attachment',
      'unpin',
      'revoke 4',
      'revoke 5',
      'revoke 6',
      'revoke 7',
    ]);
    expect(session).toMatchObject({ mapped: false, dead: true });
    expect(session.mr).toMatchObject({ revoked: true, revokes: 1 });
    unrevoke(dmabuf);
    expect(events()).toEqual(['invalidate_mappings']);
    expect(session.mr.revokes).toBe(1);
    expect(session.step()).toMatchObject({ outcome: 'dead', errno: 'EINVAL', bytesWritten: 0 });
    session.detach();
    expect(events()).toEqual(['detach', 'put']);
    expect(pci.faults.list()).toEqual([]);
    const again = attach('revocable-pinned', dmabuf);
    expect(steps(again, 3).outcome).toBe('ok');
    again.detach();
    dmabuf.put();
  });

  // spec: drivers §6.2
  it('holds the reservation from the pin until its callback is in place', () => {
    using machine = testMachine({ traceEvents: 1024 });
    pciOf(machine, true);
    const dmabuf = buffer(machine, laxExporter);
    const session = attach('revocable-pinned', dmabuf) as RevocablePinnedSession;
    expect(machine.lockdep.order()).not.toContainEqual(['importer.hw', 'reservation_ww_class']);
    expect(dmabuf.resv.isLocked).toBe(false);
    session.detach();
    expect(session.mr.umem).toBeDefined();
    dmabuf.put();
  });

  it('undoes the pin when it is released without having been revoked', () => {
    using machine = testMachine({ traceEvents: 1024 });
    pciOf(machine, true);
    const dmabuf = buffer(machine);
    const session = attach('revocable-pinned', dmabuf);
    const events = eventsSince(machine);
    session.detach();
    expect(events()).toEqual(['unmap_attachment', 'unpin', 'detach', 'put']);
    dmabuf.put();
  });

  it('is refused by memory that cannot be pinned, and by a revoked buffer', () => {
    using machine = testMachine();
    pciOf(machine, true);
    const rdma = buffer(machine, rdmaLike);
    expect(() => attach('revocable-pinned', rdma)).toThrow(kernelError('EOPNOTSUPP'));
    expect(rdma.attachments()).toEqual([]);
    rdma.put();
    for (const exporter of [undefined, laxExporter]) {
      const dmabuf = buffer(machine, exporter);
      revoke(dmabuf);
      expect(() => attach('revocable-pinned', dmabuf)).toThrow(kernelError('ENODEV'));
      expect(dmabuf.refs).toBe(1);
      dmabuf.put();
    }
  });
});
