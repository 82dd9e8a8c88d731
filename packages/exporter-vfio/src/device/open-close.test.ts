import { FdTable } from '@dmabuf-emu/core';
import { VfioDevice } from '@dmabuf-emu/exporter-vfio';
import { expect, test } from 'vitest';
import { registerTestImporters, revocable, Session } from '#dist/testing/importer.test-worker.js';
import { errno, rig } from '../testing/rig.fixture.ts';
import { BDF } from '../testing/topology.fixture.ts';

// drivers §4.7
test('open resets the function and leaves bus mastering off, memory on', () => {
  using r = rig();
  expect(r.dut.fn.config.busMaster).toBe(false);
  expect(r.dut.command.busMaster).toBe(false);
  expect(r.dut.memoryEnabled).toBe(true);
  expect(r.dut.fn.config.memoryEnabled).toBe(true);
  expect(r.dut.fn.reset.count).toBe(1);
  expect(r.dut.resetWorks).toBe(true);
});

test('open fails while somebody resets the function, and leaves nothing behind', () => {
  using r = rig();
  const { reset } = r.fn(BDF.NEAR);
  reset.deviceLock.lock();
  expect(() => VfioDevice.open(r.machine, BDF.NEAR)).toThrow(errno('EAGAIN'));
  reset.deviceLock.unlock();
  VfioDevice.open(r.machine, BDF.NEAR).close();
});

test('a device is open once', () => {
  using r = rig();
  expect(() => VfioDevice.open(r.machine, BDF.DUT)).toThrow(errno('EBUSY'));
  expect(VfioDevice.of(r.machine, BDF.DUT).isOpen).toBe(true);
});

test('a bridge is not for VFIO', () => {
  using r = rig();
  expect(() => VfioDevice.open(r.machine, BDF.ROOT_PORT)).toThrow(errno('EINVAL'));
});

test('close switches the function off and leaves registers as they were', () => {
  using r = rig();
  const { config } = r.dut.fn;
  const command = config.command;
  r.dut.command.busMaster = true;
  r.dut.command.memory = false;
  r.dut.setPowerState(3);
  r.dut.close();
  expect(config.busMaster).toBe(false);
  expect(config.powerState).toBe(0);
  expect(config.command).toBe(command);
});

test('whoever holds a closed device gets EBADF, also after it was opened again', () => {
  using r = rig();
  const other = VfioDevice.of(r.machine, BDF.DUT);
  r.dut.close();
  const again = VfioDevice.open(r.machine, BDF.DUT);
  const calls = [
    () => other.close(),
    () => other.config.read(0, 4),
    () => (other.command.memory = false),
    () => other.reset(),
    () => other.exportDmaBuf({ region: 2, ranges: [{ offset: 0, length: 0x1000 }] }),
    () => other.readBar(2, 0, 4),
    () => other.lowPowerEntry(),
    () => other.feature(new Uint8Array(8)),
  ];
  for (const call of calls) expect(call).toThrow(errno('EBADF'));
  expect(other.isOpen).toBe(false);
  expect(again.isOpen).toBe(true);
  again.close();
  expect(() => VfioDevice.of(r.machine, BDF.DUT)).toThrow(errno('ENODEV'));
});

// drivers §5.6
test('a buffer outlives its device: attach and map are refused, release works', () => {
  using r = rig();
  const dmabuf = r.buffer();
  const session = Session.attach(dmabuf, r.near);
  session.map();
  r.dut.close();
  expect(session.invalidations).toBe(1);
  expect(session.mapped).toBe(false);
  expect(() => session.map()).toThrow(errno('ENODEV'));
  expect(() => Session.attach(dmabuf, r.far)).toThrow(errno('ENODEV'));
  const again = VfioDevice.open(r.machine, BDF.DUT);
  expect(() => session.map()).toThrow(errno('ENODEV'));
  expect(again.dmaBufs()).toEqual([]);
  again.close();
  session.end();
  dmabuf.put();
});

test('close with everything alive', () => {
  using r = rig();
  const buffers = Array.from({ length: 4 }, (_, i) => r.buffer({ offset: i * 0x4000 }));
  const fd = r.dut.exportDmaBufFd({ region: 2, ranges: [{ offset: 0, length: 0x1000 }] });
  const sessions = buffers.flatMap((dmabuf) => [Session.attach(dmabuf, r.near), Session.attach(dmabuf, r.far)]);
  for (const session of sessions) session.map();
  r.dut.close();
  expect(sessions.every((session) => !session.mapped)).toBe(true);
  for (const session of sessions) session.end();
  for (const dmabuf of buffers) dmabuf.put();
  FdTable.current(r.machine).close(fd);
});

// drivers §10.1 F58, §14.5
test('unbinding waits for the device to be closed and for the last buffer', () => {
  using r = rig();
  const dmabuf = r.buffer();
  expect(VfioDevice.unbind(r.machine, BDF.DUT, 0)).toBe(false);
  r.dut.close();
  expect(VfioDevice.unbind(r.machine, BDF.DUT, 1)).toBe(true);
  expect(r.dut.revokedOf(dmabuf)).toBe(true);
  dmabuf.put();
});

test('a device that is being unbound cannot be opened', () => {
  using r = rig();
  const other = VfioDevice.open(r.machine, BDF.NEAR);
  VfioDevice.unbind(r.machine, BDF.NEAR, 0);
  other.close();
  expect(VfioDevice.unbind(r.machine, BDF.NEAR, 0)).toBe(true);
  VfioDevice.open(r.machine, BDF.NEAR).close();
});

test('a function that is gone cannot be opened', () => {
  using r = rig();
  r.fn(BDF.NEAR).surpriseRemove();
  expect(() => VfioDevice.open(r.machine, BDF.NEAR)).toThrow(errno('ENODEV'));
});

test('when an importer is not registered in this thread, the device stays open and can be closed later', () => {
  using r = rig();
  const dmabuf = r.buffer();
  const session = Session.attach(dmabuf, r.near);
  session.map();
  r.machine.drivers.register('importer', revocable.name, undefined);
  expect(() => r.dut.close()).toThrow("importer driver 'test-revocable' is not registered");
  expect(r.dut.isOpen).toBe(true);
  expect(session.mapped).toBe(true);
  registerTestImporters(r.machine);
  r.dut.close();
  expect(session.mapped).toBe(false);
  session.end();
  dmabuf.put();
});
