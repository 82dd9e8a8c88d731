import { expect, test } from 'vitest';
import { Session } from '#dist/testing/importer.test-worker.js';
import { asleepFor, kill, startActor } from '../testing/actors.fixture.ts';
import { errno, rig } from '../testing/rig.fixture.ts';
import { BDF } from '../testing/topology.fixture.ts';

test('a buffer whose lock died with a task is left behind, the others are revoked', async () => {
  using r = rig();
  const lost = r.buffer();
  const sound = r.buffer();
  const session = Session.attach(sound, r.near);
  session.map();
  const holder = await startActor(r.machine, { do: 'hold-resv', bdf: BDF.DUT, dmabuf: lost.ref });
  await kill(r.machine, holder);
  r.dut.command.memory = false;
  expect(r.dut.memoryLock.heldForWriteByMe).toBe(false);
  expect(r.dut.fn.config.memoryEnabled).toBe(false);
  expect(session.mapped).toBe(false);
  expect(r.machine.diag.records().map(({ code }) => code)).toContain('vfio-buffer-lost');
  r.dut.command.memory = true;
  expect([lost, sound].map((dmabuf) => r.dut.revokedOf(dmabuf))).toEqual([true, false]);
  expect(() => Session.attach(lost, r.near)).toThrow(errno('ENODEV'));
  session.map();
  session.end();
  sound.put();
  expect(r.machine.verify().damage.join()).toContain('vfio buffer');
  r.dut.close();
  expect(r.dut.dmaBufs()).toEqual([]);
  lost.put();
});

test('a revoke that waits for the lock of a task that dies goes on', async () => {
  using r = rig();
  const lost = r.buffer();
  const holder = await startActor(r.machine, { do: 'hold-resv', bdf: BDF.DUT, dmabuf: lost.ref });
  const revoker = await startActor(r.machine, { do: 'memory-off', bdf: BDF.DUT });
  await asleepFor(revoker, 'resv');
  await kill(r.machine, holder);
  await revoker.result;
  expect(r.dut.fn.config.memoryEnabled).toBe(false);
  lost.put();
});

test('what a dead task had mapped is unmapped for it, and the revoke goes on', async () => {
  using r = rig();
  const dmabuf = r.buffer();
  const importer = await startActor(r.machine, {
    do: 'map-and-hang',
    bdf: BDF.DUT,
    dmabuf: dmabuf.ref,
    device: BDF.FAR,
  });
  await kill(r.machine, importer);
  r.dut.command.memory = false;
  expect(r.dut.fn.config.memoryEnabled).toBe(false);
  dmabuf.put();
});

test('a buffer can be put after a task died with the device’s lock', async () => {
  using r = rig();
  const dmabuf = r.buffer();
  const holder = await startActor(r.machine, { do: 'hold-memory-lock', bdf: BDF.DUT });
  await kill(r.machine, holder);
  expect(() => (r.dut.command.memory = false)).toThrow(errno('EOWNERDEAD'));
  dmabuf.put();
  expect(r.machine.verify()).toMatchObject({ errors: [], leaks: [] });
  expect(() => r.dut.close()).toThrow(errno('EOWNERDEAD'));
  expect(r.machine.verify().damage.join()).toContain('vfio buffer');
  r.abandon();
});
