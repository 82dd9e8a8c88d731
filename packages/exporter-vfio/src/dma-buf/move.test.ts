import { ResvUsage, setRevokeBound } from '@dmabuf-emu/core';
import { liveMappings } from '@dmabuf-emu/exporter-vfio';
import { describe, expect, test } from 'vitest';
import { OnInvalidate, Session } from '#dist/testing/importer.test-worker.js';
import { asleepFor, startActor, until } from '../testing/actors.fixture.ts';
import { addWork } from '../testing/fences.fixture.ts';
import { errno, rig } from '../testing/rig.fixture.ts';
import { BDF } from '../testing/topology.fixture.ts';

const UNMAPS = 'dma_buf.drained';

// drivers §5.4, §5.5, §10.1 F7; core §5.1
describe('a revoke waits for fences, then for unmaps, and only then takes the memory away', () => {
  test.each(['memory-off', 'flr', 'reset'] as const)('%s', async (trigger) => {
    using r = rig();
    const dmabuf = r.buffer();
    const session = Session.attach(dmabuf, r.near, OnInvalidate.NOTE);
    session.map();
    const work = addWork(r.machine, dmabuf, ResvUsage.BOOKKEEP);
    const { count } = r.dut.fn.reset;
    const untouched = (): boolean => r.dut.fn.config.memoryEnabled && r.dut.fn.reset.count === count;

    const actor = await startActor(r.machine, { do: trigger, bdf: BDF.DUT });
    await until('the importer to be told', () => session.stale);
    await asleepFor(actor, 'fence');
    expect(dmabuf.resv.isLocked).toBe(true);
    expect(untouched()).toBe(true);
    work.signal();

    await asleepFor(actor, UNMAPS);
    expect(dmabuf.resv.isLocked).toBe(false);
    expect(liveMappings(dmabuf)).toBe(0);
    expect(untouched()).toBe(true);
    expect(() => session.map()).toThrow(errno('ENODEV'));
    session.unmap();

    await actor.result;
    expect(untouched()).toBe(false);
    expect(r.dut.revokedOf(dmabuf)).toBe(trigger === 'memory-off');
    session.end();
    dmabuf.put();
  });
});

// drivers §10.1 F8
describe('fences of every class are waited for', () => {
  test.each(Object.entries(ResvUsage))('%s', async (_, usage) => {
    using r = rig();
    const dmabuf = r.buffer();
    const work = addWork(r.machine, dmabuf, usage);
    const actor = await startActor(r.machine, { do: 'memory-off', bdf: BDF.DUT });
    await asleepFor(actor, 'fence');
    expect(r.dut.fn.config.memoryEnabled).toBe(true);
    work.signal();
    await actor.result;
    expect(r.dut.fn.config.memoryEnabled).toBe(false);
    dmabuf.put();
  });
});

test('closing the device waits too', async () => {
  using r = rig();
  const dmabuf = r.buffer();
  const session = Session.attach(dmabuf, r.near, OnInvalidate.NOTE);
  session.map();
  const actor = await startActor(r.machine, { do: 'close', bdf: BDF.DUT });
  await asleepFor(actor, UNMAPS);
  expect(r.dut.fn.reset.count).toBe(1);
  session.unmap();
  await actor.result;
  expect(r.dut.isOpen).toBe(false);
  session.end();
  dmabuf.put();
});

test('un-revoking waits for fences that were added meanwhile', async () => {
  using r = rig();
  const dmabuf = r.buffer();
  r.dut.command.memory = false;
  const work = addWork(r.machine, dmabuf, ResvUsage.BOOKKEEP);
  const actor = await startActor(r.machine, { do: 'flr', bdf: BDF.DUT });
  await actor.result;
  expect(r.dut.revokedOf(dmabuf)).toBe(true);
  const reset = await startActor(r.machine, { do: 'reset', bdf: BDF.DUT });
  await reset.result;
  expect(r.dut.revokedOf(dmabuf)).toBe(true);
  work.signal();
  r.dut.command.memory = true;
  expect(r.dut.revokedOf(dmabuf)).toBe(false);
  dmabuf.put();
});

test('the wait has no limit, but whoever exceeds the bound is named', async () => {
  using r = rig();
  r.machine.diag.expect('violation', 'fence-bound');
  r.machine.diag.expect('violation', 'unmap-bound');
  setRevokeBound(r.machine, 20);
  const dmabuf = r.buffer();
  const session = Session.attach(dmabuf, r.near, OnInvalidate.NOTE);
  session.map();
  const work = addWork(r.machine, dmabuf, ResvUsage.BOOKKEEP);
  const actor = await startActor(r.machine, { do: 'memory-off', bdf: BDF.DUT });
  await until('a violation', () => r.machine.diag.count('violation') === 1);
  work.signal();
  await until('another', () => r.machine.diag.count('violation') === 2);
  expect(r.dut.fn.config.memoryEnabled).toBe(true);
  session.unmap();
  await actor.result;
  const rules = r.machine.diag.records().filter(({ kind }) => kind === 'violation');
  expect(rules.map(({ rule, code }) => rule ?? code)).toEqual(['fence-bound', 'unmap-bound']);
  expect(rules[1]!.text).toContain('test-revocable for 0000:04:00.0');
  session.end();
  dmabuf.put();
});

// drivers §5.3: base count plus mappings; §10.1 F3: re-armed by every revoke
test('the count of mappings is as new after any number of revokes', () => {
  using r = rig();
  const dmabuf = r.buffer();
  const session = Session.attach(dmabuf, r.near);
  for (let i = 0; i < 5; i++) {
    session.map();
    expect(liveMappings(dmabuf)).toBe(1);
    r.dut.command.memory = false;
    r.dut.command.memory = false;
    r.dut.setPowerState(3);
    expect(liveMappings(dmabuf)).toBe(0);
    r.dut.setPowerState(0);
    r.dut.command.memory = true;
  }
  session.end();
  dmabuf.put();
});

test('locks are taken in one order: memory_lock, then resv', () => {
  using r = rig();
  const dmabuf = r.buffer();
  const session = Session.attach(dmabuf, r.far);
  session.map();
  r.dut.flr();
  session.end();
  r.dut.close();
  dmabuf.put();
  const order = r.machine.lockdep.order().filter(([outer]) => outer.startsWith('vfio'));
  expect(order).toContainEqual(['vfio.memory_lock', 'dma_resv']);
  expect(order).toContainEqual(['vfio.dev_set.lock', 'vfio.memory_lock']);
  expect(order.every(([, inner]) => inner !== 'vfio.dev_set.lock')).toBe(true);
  expect(r.machine.diag.count('lockdep')).toBe(0);
});

test('taking the device’s lock from inside resv is reported', () => {
  using r = rig();
  r.machine.diag.expect('lockdep', 'circular-order');
  const dmabuf = r.buffer();
  r.dut.command.memory = false;
  dmabuf.resv.with(() => r.dut.memoryLock.read(() => undefined));
  expect(r.machine.diag.records().some(({ code }) => code === 'circular-order')).toBe(true);
  dmabuf.put();
});
