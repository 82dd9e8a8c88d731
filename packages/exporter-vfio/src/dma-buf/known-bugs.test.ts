import { FdTable } from '@dmabuf-emu/core';
import { setSyncHook } from '@dmabuf-emu/shm';
import { expect, test } from 'vitest';
import { OnInvalidate, Session } from '#dist/testing/importer.test-worker.js';
import { asleepFor, kill, startActor } from '../testing/actors.fixture.ts';
import { resvWord } from '../testing/recorder.fixture.ts';
import { errno, rig } from '../testing/rig.fixture.ts';
import { BDF } from '../testing/topology.fixture.ts';

// The names are those of drivers §10.1.

test('F1: after a function level reset buffers can be mapped again', () => {
  using r = rig();
  const dmabuf = r.buffer();
  const session = Session.attach(dmabuf, r.near);
  r.dut.flr();
  expect(session.map().nents).toBe(1);
  session.end();
  dmabuf.put();
});

test('F1 switched on: they stay revoked until the next command write', () => {
  using r = rig({ quirks: ['vfio.flrNoUnrevoke'] });
  const dmabuf = r.buffer();
  r.dut.flr();
  expect(r.dut.revokedOf(dmabuf)).toBe(true);
  r.dut.command.memory = true;
  expect(r.dut.revokedOf(dmabuf)).toBe(false);
  dmabuf.put();
});

test('F3: a device whose buffers are revoked can be closed', () => {
  using r = rig();
  const dmabuf = r.buffer();
  r.dut.command.memory = false;
  r.dut.close();
  expect(r.dut.isOpen).toBe(false);
  dmabuf.put();
});

test.each([{ quirks: ['vfio.krefUnderflow'] }, { kernel: '7.1-rc2' as const }])(
  'F3 switched on by %o: the count underflows, close never returns',
  async (options) => {
    const r = rig(options);
    const { machine } = r;
    machine.diag.expect('warn', 'refcount-underflow');
    const dmabuf = r.buffer();
    r.dut.command.memory = false;
    r.dut.command.memory = true;
    r.dut.command.memory = false;
    const actor = await startActor(machine, { do: 'close', bdf: BDF.DUT });
    await asleepFor(actor, 'vfio_pci_dma_buf_cleanup');
    expect(
      machine.diag
        .records()
        .filter(({ kind }) => kind === 'warn')
        .map(({ code }) => code),
    ).toEqual(['refcount-underflow']);
    await kill(machine, actor);
    expect(() => r.dut.lowPowerEntry()).toThrow(errno('EOWNERDEAD'));
    dmabuf.put();
    machine[Symbol.dispose]();
  },
);

test('F6: a descriptor that cannot be had undoes the export once', () => {
  using r = rig();
  FdTable.create(r.machine, { limit: 1 }).join();
  const request = { region: 2, ranges: [{ offset: 0, length: 0x1000 }] };
  const fd = r.dut.exportDmaBufFd(request);
  expect(() => r.dut.exportDmaBufFd(request)).toThrow(errno('EMFILE'));
  expect(() => r.dut.feature(request)).toThrow(errno('EMFILE'));
  FdTable.current(r.machine).close(fd);
  expect(r.machine.diag.records()).toEqual([]);
});

test('F10: an importer that cannot be told is refused, so that no revoke waits for it', () => {
  using r = rig();
  const dmabuf = r.buffer();
  expect(() => dmabuf.attach(r.near)).toThrow(errno('EOPNOTSUPP'));
  dmabuf.put();
});

/** Runs `fn` when this thread next takes the lock at word `at`. */
function whenLocking(at: number, fn: () => void): void {
  let done = false;
  setSyncHook((label, where) => {
    if (done || where !== at || label !== 'ww_mutex.lock') return;
    done = true;
    setSyncHook(null);
    fn();
  });
}

test('F42, F53: the last reference goes while the buffer is moved; its release waits for memory_lock', () => {
  using r = rig();
  const dmabuf = r.buffer();
  const other = r.buffer();
  whenLocking(resvWord(dmabuf), () => dmabuf.put());
  r.dut.command.memory = false;
  setSyncHook(null);
  expect(r.dut.dmaBufs().map(({ ref }) => ref)).toEqual([other.ref]);
  expect(r.dut.revokedOf(other)).toBe(true);
  other.put();
});

test('F42: a buffer whose last reference is gone is skipped by a move', () => {
  using r = rig();
  const dmabuf = r.buffer();
  r.dut.memoryLock.write(() => {
    dmabuf.put();
    expect(dmabuf.tryGet()).toBe(false);
    expect(r.dut.dmaBufs()).toHaveLength(1);
  });
  expect(r.dut.dmaBufs()).toEqual([]);
});

test('F43: un-revoking tells importers once more; who is dead stays dead', () => {
  using r = rig();
  const dmabuf = r.buffer();
  const lives = Session.attach(dmabuf, r.near, OnInvalidate.UNMAP);
  const dies = Session.attach(dmabuf, r.far, OnInvalidate.DIE);
  lives.map();
  dies.mapPinned();
  r.dut.command.memory = false;
  expect([lives.invalidations, dies.invalidations]).toEqual([1, 1]);
  r.dut.command.memory = true;
  expect([lives.invalidations, dies.invalidations]).toEqual([2, 2]);
  expect(dies.dead).toBe(true);
  lives.map();
  lives.end();
  dies.end();
  dmabuf.put();
});

test('F44: lengths that add up to 2^63 are refused at export', () => {
  using r = rig();
  const range = { offset: 0, length: 2n ** 61n };
  expect(() => r.dut.exportDmaBuf({ region: 2, ranges: [range, range, range, range] })).toThrow(errno('EINVAL'));
});

test('F52: a hardware error leaves the buffers revoked though MEMORY is still set', () => {
  using r = rig();
  const dmabuf = r.buffer();
  r.dut.failHardware('write');
  expect(() => r.dut.config.write(4, 2, 0)).toThrow(errno('EIO'));
  expect(r.dut.command.memory).toBe(true);
  expect(r.dut.revokedOf(dmabuf)).toBe(true);
  r.dut.command.memory = true;
  expect(r.dut.revokedOf(dmabuf)).toBe(false);
  dmabuf.put();
});

test('F54: on a virtual function MEMORY=0 revokes and un-revokes; map works afterwards', () => {
  using r = rig({ bdf: BDF.VF });
  const dmabuf = r.buffer();
  const session = Session.attach(dmabuf, r.near);
  session.map();
  r.dut.command.memory = false;
  expect(session.mapped).toBe(false);
  session.map();
  session.end();
  dmabuf.put();
});

test('F57: who attaches before a revoke and maps after it is refused', () => {
  using r = rig();
  const dmabuf = r.buffer();
  const session = Session.attach(dmabuf, r.near);
  r.dut.command.memory = false;
  expect(() => session.map()).toThrow(errno('ENODEV'));
  session.end();
  dmabuf.put();
});

test('F58: a buffer whose release is pending when the device is closed unlinks itself later', () => {
  using r = rig();
  const dmabuf = r.buffer();
  const kept = r.buffer();
  kept.resv.with(() => {
    dmabuf.put();
  });
  r.dut.close();
  expect(r.dut.revokedOf(kept)).toBe(true);
  kept.put();
});
