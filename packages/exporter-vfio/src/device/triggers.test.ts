import { CapAt, EXP_DEVCTL, PM_CTRL, Reg } from '@dmabuf-emu/pci-iommu';
import { describe, expect, test } from 'vitest';
import { Session } from '#dist/testing/importer.test-worker.js';
import { errno, type Rig, rig } from '../testing/rig.fixture.ts';
import { BDF } from '../testing/topology.fixture.ts';

const MEMORY = 0x2;

interface Outcome {
  /** Callbacks that the importer got. */
  readonly told: number;
  readonly revoked: boolean;
}

/** What a trigger does to a buffer that is mapped. */
function outcome(r: Rig, trigger: () => void): Outcome {
  const dmabuf = r.buffer();
  const session = Session.attach(dmabuf, r.near);
  session.map();
  const before = session.invalidations;
  trigger();
  const seen = { told: session.invalidations - before, revoked: r.dut.revokedOf(dmabuf) };
  expect(session.mapped).toBe(false);
  if (seen.revoked) expect(() => session.map()).toThrow(errno('ENODEV'));
  else session.map();
  session.end();
  dmabuf.put();
  return seen;
}

const REVOKED: Outcome = { told: 1, revoked: true };
const PULSE: Outcome = { told: 2, revoked: false };

// drivers §4.5
describe('command register', () => {
  test('MEMORY=0 revokes', () => {
    using r = rig();
    expect(outcome(r, () => (r.dut.command.memory = false))).toEqual(REVOKED);
    expect(r.dut.fn.config.memoryEnabled).toBe(false);
  });

  test('MEMORY=0 on a virtual function is a pulse', () => {
    using r = rig({ bdf: BDF.VF });
    expect(outcome(r, () => (r.dut.command.memory = false))).toEqual(PULSE);
  });

  test('MEMORY=1 gives the buffers back', () => {
    using r = rig();
    const trigger = (): void => {
      r.dut.command.memory = false;
      r.dut.command.memory = true;
    };
    expect(outcome(r, trigger)).toEqual(PULSE);
  });

  test('MEMORY=1 when it is 1 does nothing', () => {
    using r = rig();
    const dmabuf = r.buffer();
    const session = Session.attach(dmabuf, r.near);
    session.map();
    r.dut.command.memory = true;
    expect(session.invalidations).toBe(0);
    expect(session.mapped).toBe(true);
    session.end();
    dmabuf.put();
  });

  test('MEMORY=1 in D3hot waits for D0', () => {
    using r = rig();
    const dmabuf = r.buffer();
    r.dut.setPowerState(3);
    r.dut.command.memory = true;
    expect(r.dut.revokedOf(dmabuf)).toBe(true);
    r.dut.setPowerState(0);
    expect(r.dut.revokedOf(dmabuf)).toBe(false);
    dmabuf.put();
  });

  test('when the first read fails, nothing happens', () => {
    using r = rig();
    const dmabuf = r.buffer();
    const session = Session.attach(dmabuf, r.near);
    session.map();
    r.dut.failHardware('read');
    expect(() => r.dut.config.write(Reg.COMMAND, 2, 0)).toThrow(errno('EIO'));
    expect(session.mapped).toBe(true);
    expect(r.dut.revokedOf(dmabuf)).toBe(false);
    session.end();
    dmabuf.put();
  });

  test('when the write fails, the buffers stay revoked until the next good one', () => {
    using r = rig();
    const dmabuf = r.buffer();
    r.dut.failHardware('write');
    expect(() => r.dut.config.write(Reg.COMMAND, 2, 0)).toThrow(errno('EIO'));
    expect(r.dut.revokedOf(dmabuf)).toBe(true);
    expect(r.dut.command.memory).toBe(true);
    expect(r.dut.memoryEnabled).toBe(true);
    r.dut.config.write(Reg.COMMAND, 2, MEMORY);
    expect(r.dut.revokedOf(dmabuf)).toBe(false);
    dmabuf.put();
  });
});

describe('power state', () => {
  test('D3hot revokes', () => {
    using r = rig();
    expect(outcome(r, () => r.dut.setPowerState(3))).toEqual(REVOKED);
    expect(r.dut.memoryEnabled).toBe(false);
  });

  test.each([0, 1, 2] as const)('D%i gives the buffers back', (state) => {
    using r = rig();
    const trigger = (): void => {
      r.dut.setPowerState(3);
      r.dut.setPowerState(state);
    };
    expect(outcome(r, trigger)).toEqual(PULSE);
  });

  test('D3hot is a pulse while virtual functions are enabled', () => {
    using r = rig({ bdf: BDF.PF });
    expect(outcome(r, () => r.dut.setPowerState(3))).toEqual(PULSE);
    expect(r.dut.fn.config.powerState).toBe(0);
  });

  test('D1 changes nothing', () => {
    using r = rig();
    const dmabuf = r.buffer();
    r.dut.setPowerState(1);
    expect(r.dut.revokedOf(dmabuf)).toBe(false);
    dmabuf.put();
  });

  test('a write that asks for the state it is in changes nothing', () => {
    using r = rig();
    const dmabuf = r.buffer();
    r.dut.config.write(CapAt.PM + PM_CTRL, 2, 0);
    expect(r.dut.revokedOf(dmabuf)).toBe(false);
    dmabuf.put();
  });
});

describe('function level reset', () => {
  test('PCI Express', () => {
    using r = rig();
    expect(outcome(r, () => r.dut.flr())).toEqual(PULSE);
  });

  test('advanced features', () => {
    using r = rig({ bdf: BDF.LEGACY });
    expect(outcome(r, () => r.dut.flr())).toEqual(PULSE);
  });

  test('an error of the reset is not told, and the buffers come back', () => {
    using r = rig();
    const { reset } = r.dut.fn;
    const before = reset.count;
    reset.deviceLock.lock();
    expect(outcome(r, () => r.dut.config.write(CapAt.EXP + EXP_DEVCTL, 2, 0x8000))).toEqual(PULSE);
    reset.deviceLock.unlock();
    expect(reset.count).toBe(before);
  });

  test('with memory disabled they stay revoked', () => {
    using r = rig();
    r.dut.command.memory = false;
    const dmabuf = r.buffer();
    r.dut.flr();
    expect(r.dut.revokedOf(dmabuf)).toBe(true);
    dmabuf.put();
  });

  test('a function without it says so', () => {
    using r = rig({ bdf: BDF.STUCK });
    const count = r.dut.fn.reset.count;
    r.dut.flr();
    expect(r.dut.fn.reset.count).toBe(count);
  });
});

describe('VFIO_DEVICE_RESET', () => {
  test('resets, and gives the buffers back', () => {
    using r = rig();
    const before = r.dut.fn.reset.count;
    expect(outcome(r, () => r.dut.reset())).toEqual(PULSE);
    expect(r.dut.fn.reset.count).toBe(before + 1);
  });

  test('brings the device to D0', () => {
    using r = rig();
    r.dut.setPowerState(3);
    const dmabuf = r.buffer();
    r.dut.reset();
    expect(r.dut.fn.config.powerState).toBe(0);
    expect(r.dut.revokedOf(dmabuf)).toBe(false);
    dmabuf.put();
  });

  test('a device that cannot be reset: EINVAL, nothing happens', () => {
    using r = rig({ bdf: BDF.STUCK });
    const dmabuf = r.buffer();
    const session = Session.attach(dmabuf, r.near);
    session.map();
    expect(r.dut.resetWorks).toBe(false);
    expect(() => r.dut.reset()).toThrow(errno('EINVAL'));
    expect(session.invalidations).toBe(0);
    session.end();
    dmabuf.put();
  });

  test('EAGAIN while somebody else resets it; the buffers come back all the same', () => {
    using r = rig();
    r.dut.fn.reset.deviceLock.lock();
    expect(outcome(r, () => expect(() => r.dut.reset()).toThrow(errno('EAGAIN')))).toEqual(PULSE);
    r.dut.fn.reset.deviceLock.unlock();
  });
});

describe('low power', () => {
  test('entry revokes, exit gives back', () => {
    using r = rig();
    expect(outcome(r, () => r.dut.lowPowerEntry())).toEqual(REVOKED);
    const dmabuf = r.buffer();
    expect(r.dut.revokedOf(dmabuf)).toBe(true);
    r.dut.lowPowerExit();
    expect(r.dut.revokedOf(dmabuf)).toBe(false);
    dmabuf.put();
  });

  test('a second entry is EINVAL', () => {
    using r = rig();
    r.dut.lowPowerEntry();
    expect(() => r.dut.lowPowerEntry()).toThrow(errno('EINVAL'));
    r.dut.lowPowerExit();
  });

  test('exit without entry is fine, and gives back', () => {
    using r = rig();
    const dmabuf = r.buffer();
    r.dut.failHardware('write');
    expect(() => r.dut.config.write(Reg.COMMAND, 2, 0)).toThrow(errno('EIO'));
    r.dut.lowPowerExit();
    expect(r.dut.revokedOf(dmabuf)).toBe(false);
    dmabuf.put();
  });

  test('the predicate does not look at it', () => {
    using r = rig();
    r.dut.lowPowerEntry();
    expect(r.dut.memoryEnabled).toBe(true);
    r.dut.lowPowerExit();
  });

  // drivers §10.1 F55, F56
  const writes: [what: string, write: (r: Rig) => void][] = [
    ['a command write', (r) => r.dut.config.write(Reg.COMMAND, 2, MEMORY)],
    ['a power state write', (r) => r.dut.setPowerState(0)],
  ];
  test.each(writes)('%s meanwhile leaves the buffers revoked', (_, write) => {
    using r = rig();
    const dmabuf = r.buffer();
    r.dut.lowPowerEntry();
    write(r);
    expect(r.dut.revokedOf(dmabuf)).toBe(true);
    r.dut.lowPowerExit();
    expect(r.dut.revokedOf(dmabuf)).toBe(false);
    dmabuf.put();
  });

  test.each(writes)(
    '%s meanwhile gives them back, in the kernel; a second entry then revokes and fails',
    (_, write) => {
      using r = rig({ quirks: ['vfio.lowPowerUnrevoke'] });
      const dmabuf = r.buffer();
      r.dut.lowPowerEntry();
      write(r);
      expect(r.dut.revokedOf(dmabuf)).toBe(false);
      expect(() => r.dut.lowPowerEntry()).toThrow(errno('EINVAL'));
      expect(r.dut.revokedOf(dmabuf)).toBe(true);
      r.dut.lowPowerExit();
      dmabuf.put();
    },
  );
});

test('every buffer of the device is moved, those of other devices are not', () => {
  using r = rig();
  const buffers = [r.buffer(), r.buffer({ offset: 0x4000 }), r.buffer()];
  const sessions = buffers.map((dmabuf) => Session.attach(dmabuf, r.near));
  for (const session of sessions) session.map();
  r.dut.command.memory = false;
  expect(buffers.map((dmabuf) => r.dut.revokedOf(dmabuf))).toEqual([true, true, true]);
  expect(sessions.map(({ invalidations }) => invalidations)).toEqual([1, 1, 1]);
  for (const session of sessions) session.end();
  for (const dmabuf of buffers) dmabuf.put();
});
