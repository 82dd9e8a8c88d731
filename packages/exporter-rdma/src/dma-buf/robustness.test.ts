import { FdTable } from '@dmabuf-emu/core';
import { RdmaDevice } from '@dmabuf-emu/exporter-rdma';
import { isKernelError } from '@dmabuf-emu/shm';
import { expect, test } from 'vitest';
import { Session } from '#dist/testing/importer.test-worker.js';
import { kill, startActor } from '../testing/actors.fixture.ts';
import { errno, type Rig, rig } from '../testing/rig.fixture.ts';
import { BDF } from '../testing/topology.fixture.ts';

/** Everything that allocates, undone in the end however far it came. */
function useEverything(r: Rig): void {
  const nic = RdmaDevice.open(r.machine, BDF.UNMAPPABLE);
  const undo: (() => void)[] = [() => nic.close()];
  try {
    nic.allocDm(0x1000);
    const entry = r.nic.allocDm(0x2000);
    undo.push(() => r.nic.removeEntry(entry));
    const dmabuf = r.nic.exportDmaBuf(entry.pgoff);
    undo.push(() => dmabuf.put());
    const fd = r.nic.exportDmaBufFd(entry.pgoff);
    undo.push(() => FdTable.current(r.machine).close(fd));
    const session = Session.attach(dmabuf, r.gpu);
    undo.push(() => session.end());
    session.map();
    r.nic.destroyObject(dmabuf);
  } finally {
    for (const step of undo.toReversed()) step();
  }
}

test('whichever allocation fails, all is undone', () => {
  using r = rig();
  let n = 1;
  for (; ; n++) {
    const { count } = r.machine.faults;
    r.machine.faults.failNth(n);
    try {
      useEverything(r);
    } catch (error) {
      if (!isKernelError(error, 'ENOMEM')) throw error;
    } finally {
      r.machine.faults.off();
    }
    expect(r.machine.verify()).toMatchObject({ errors: [], leaks: [] });
    if (r.machine.faults.count === count) break;
  }
  expect(n).toBeGreaterThan(10);
});

test('threads allocate, export, map and free while entries are taken away', async () => {
  using r = rig();
  const shared = r.nic.allocDm(0x1000);
  const job = { do: 'export-loop', bdf: BDF.NIC, rounds: 400, device: BDF.GPU, pgoff: shared.pgoff } as const;
  const actors = [await startActor(r.machine, job, 'exporter 1'), await startActor(r.machine, job, 'exporter 2')];
  r.nic.removeEntry(shared);
  for (const { result } of actors) {
    const ends = (await result) as Record<string, number>;
    expect(Object.values(ends).reduce((sum, n) => sum + n, 0)).toBe(400);
    expect(ends['mapped']).toBeGreaterThan(0);
  }
});

test.each(['close', 'removeDriver'] as const)('threads export while the device ends: %s', async (end) => {
  using r = rig();
  const { pgoff } = r.nic.allocDm(0x1000);
  const job = { do: 'export-loop', bdf: BDF.NIC, rounds: 1_000_000, device: BDF.GPU, pgoff } as const;
  const actors = [await startActor(r.machine, job, 'exporter 1'), await startActor(r.machine, job, 'exporter 2')];
  r.nic[end]();
  // Each is somewhere else when it ends: at a call on a closed device, or at an entry that was taken away.
  for (const ended of await Promise.allSettled(actors.map(({ result }) => result))) {
    if (ended.status === 'rejected')
      expect([end, String(ended.reason)]).toEqual(['close', expect.stringMatching('EBADF')]);
    else
      expect(Object.keys(ended.value as object)).toEqual(
        expect.arrayContaining([expect.stringMatching(/^(EIO|ENODEV|EINVAL)$/)]),
      );
  }
});

test('a buffer whose lock died with a task is left behind, the others are revoked', async () => {
  using r = rig();
  const { entry, dmabuf: lost } = r.exported();
  const sound = r.nic.exportDmaBuf(entry.pgoff);
  const session = Session.attach(sound, r.gpu);
  session.map();
  const holder = await startActor(r.machine, { do: 'hold-resv', bdf: BDF.NIC, dmabuf: lost.ref });
  await kill(r.machine, holder);
  expect(r.nic.removeEntry(entry)).toBe(true);
  expect(session.mapped).toBe(false);
  expect([lost, sound].map((dmabuf) => r.nic.revokedOf(dmabuf))).toEqual([true, true]);
  expect(r.machine.diag.records().map(({ code }) => code)).toContain('rdma-buffer-lost');
  expect(r.machine.verify().damage.join()).toContain('rdma buffer');
  session.end();
  sound.put();
  lost.put();
});

test('what a dead task had mapped is unmapped for it, and the revoke goes on', async () => {
  using r = rig();
  const { dmabuf } = r.exported();
  const job = { do: 'map-and-hang', bdf: BDF.NIC, dmabuf: dmabuf.ref, device: BDF.GPU } as const;
  await kill(r.machine, await startActor(r.machine, job));
  expect(r.nic.destroyObject(dmabuf)).toBe(true);
  dmabuf.put();
});

test('another exporter’s buffer is refused by name', () => {
  using r = rig();
  const { entry, dmabuf } = r.exported();
  expect(r.nic.revokedOf(dmabuf)).toBe(false);
  dmabuf.put();
  expect(() => r.nic.exportDmaBuf(entry.pgoff + 0x10000000)).toThrow(errno('EINVAL'));
});
