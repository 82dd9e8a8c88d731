import { type DmaBuf, ResvUsage } from '@dmabuf-emu/core';
import { physInterconnect } from '@dmabuf-emu/pci-iommu';
import { describe, expect, test } from 'vitest';
import { OnInvalidate, Session } from '#dist/testing/importer.test-worker.js';
import { startActor } from './testing/actors.fixture.ts';
import { addWork } from './testing/fences.fixture.ts';
import { record, resvWord } from './testing/recorder.fixture.ts';
import { errno, type Rig, rig } from './testing/rig.fixture.ts';
import { BDF } from './testing/topology.fixture.ts';

/** Steps of `fn`, as drivers §14 writes them. */
function steps(r: Rig, dmabuf: DmaBuf, fn: () => void): string[] {
  const revoke = ['', '', 'revoked=true', '', 'wait fences', '', 'kref_put, wait completion', 're-arm'];
  return record(
    {
      machine: r.machine,
      locks: { memory_lock: r.dut.memoryLock.at, resv: resvWord(dmabuf) },
      events: {
        vfio_zap: 'zap CPU mmaps',
        vfio_revoke: 'move(true)',
        vfio_unrevoke: 'move(false)',
        vfio_unlink: 'unlink, vdev=NULL',
        vfio_command: 'write command',
        vfio_reset: 'reset',
        vfio_power: 'set power state',
        vfio_disable: 'disabled',
        dma_buf_revoke: ([, step]) => revoke[step!] || undefined,
        dma_buf_unmap_attachment: 'unmap',
        dma_buf_map_attachment: 'map',
        dma_buf_pin: 'pin',
        dma_buf_unpin: 'unpin',
      },
    },
    fn,
  );
}

const TRACED = { traceEvents: 1024 };
const UNREVOKE = (importer: string[]): string[] => [
  'move(false)',
  'L(resv)',
  'importer: invalidate',
  ...importer,
  'U(resv)',
  'L(resv)',
  'U(resv)',
];

// drivers §14.1
test('an ODP importer; the user clears MEMORY, and sets it again', () => {
  using r = rig(TRACED);
  const dmabuf = r.buffer();
  const session = Session.attach(dmabuf, r.near);
  session.map();
  expect(steps(r, dmabuf, () => r.dut.config.write(4, 2, 0))).toEqual([
    'L(memory_lock)',
    'zap CPU mmaps',
    'move(true)',
    'L(resv)',
    'revoked=true',
    'importer: invalidate',
    'importer: zap',
    'unmap',
    'wait fences',
    'U(resv)',
    'kref_put, wait completion',
    're-arm',
    'write command',
    'U(memory_lock)',
  ]);
  expect(steps(r, dmabuf, () => expect(() => session.map()).toThrow(errno('ENODEV')))).toEqual(['L(resv)', 'U(resv)']);
  expect(steps(r, dmabuf, () => r.dut.config.write(4, 2, 2))).toEqual([
    'L(memory_lock)',
    'write command',
    ...UNREVOKE(['importer: nothing mapped']),
    'U(memory_lock)',
  ]);
  expect(steps(r, dmabuf, () => session.map())).toEqual(['L(resv)', 'map', 'U(resv)']);
  session.end();
  dmabuf.put();
});

// drivers §14.2
test('a GPU, with a fence and an unmap that comes later; function level reset', async () => {
  using r = rig(TRACED);
  const dmabuf = r.buffer();
  const session = Session.attach(dmabuf, r.near, OnInvalidate.NOTE);
  session.map();
  const job = addWork(r.machine, dmabuf, ResvUsage.BOOKKEEP);
  const gpu = await startActor(r.machine, {
    do: 'gpu',
    bdf: BDF.DUT,
    dmabuf: dmabuf.ref,
    attachment: session.attachment.ref,
    table: session.table.ref,
    fence: job.handOver(),
  });
  const seen = steps(r, dmabuf, () => r.dut.flr());
  session.forget();
  // The last mapping is gone before its table is free.
  await gpu.result;
  expect(seen).toEqual([
    'L(memory_lock)',
    'zap CPU mmaps',
    'move(true)',
    'L(resv)',
    'revoked=true',
    'importer: invalidate',
    'wait fences',
    'U(resv)',
    'kref_put, wait completion',
    're-arm',
    'reset',
    ...UNREVOKE([]),
    'U(memory_lock)',
  ]);
  session.end();
  dmabuf.put();
});

// drivers §14.3
test('a revocable pinned importer dies with the first revoke', () => {
  using r = rig(TRACED);
  const dmabuf = r.buffer();
  const session = Session.attach(dmabuf, r.near, OnInvalidate.DIE);
  expect(steps(r, dmabuf, () => session.mapPinned())).toEqual(['L(resv)', 'pin', 'map', 'U(resv)']);
  const revoke = steps(r, dmabuf, () => r.dut.config.write(4, 2, 0));
  expect(revoke.slice(4, 11)).toEqual([
    'revoked=true',
    'importer: invalidate',
    'importer: zap',
    'unmap',
    'importer: unpin',
    'unpin',
    'wait fences',
  ]);
  const unrevoke = steps(r, dmabuf, () => r.dut.config.write(4, 2, 2));
  expect(unrevoke.slice(2, -1)).toEqual(UNREVOKE(['importer: dead already']));
  expect(steps(r, dmabuf, () => session.end())).toEqual(['L(resv)', 'U(resv)', 'L(resv)', 'U(resv)']);
  dmabuf.put();
});

// drivers §14.4
describe('iommufd', () => {
  test('keeps physical addresses of its own; the completion is immediate', () => {
    using r = rig(TRACED);
    const dmabuf = r.buffer();
    const session = Session.attach(dmabuf, r.near);
    const locate = physInterconnect(r.machine, dmabuf)!;
    let phys = { paddr: 0, len: 0 };
    const mapFile = (): void =>
      dmabuf.resv.with(() => {
        session.attachment.pin();
        phys = locate(session.attachment);
      });
    expect(steps(r, dmabuf, mapFile)).toEqual(['L(resv)', 'pin', 'U(resv)']);
    expect(phys.len).toBe(0x4000);
    expect(steps(r, dmabuf, () => r.dut.config.write(4, 2, 0))).toEqual([
      'L(memory_lock)',
      'zap CPU mmaps',
      'move(true)',
      'L(resv)',
      'revoked=true',
      'importer: invalidate',
      'importer: nothing mapped',
      'wait fences',
      'U(resv)',
      'kref_put, wait completion',
      're-arm',
      'write command',
      'U(memory_lock)',
    ]);
    dmabuf.resv.with(() => session.attachment.unpin());
    session.end();
    dmabuf.put();
  });
});

// drivers §14.5
test('the device is closed with everything alive', () => {
  using r = rig(TRACED);
  const dmabuf = r.buffer();
  const session = Session.attach(dmabuf, r.near);
  session.map();
  expect(steps(r, dmabuf, () => r.dut.close())).toEqual([
    'L(memory_lock)',
    'move(true)',
    'L(resv)',
    'revoked=true',
    'importer: invalidate',
    'importer: zap',
    'unmap',
    'wait fences',
    'U(resv)',
    'kref_put, wait completion',
    're-arm',
    'unlink, vdev=NULL',
    'U(memory_lock)',
    'reset',
    'disabled',
  ]);
  expect(steps(r, dmabuf, () => expect(() => session.map()).toThrow(errno('ENODEV')))).toEqual(['L(resv)', 'U(resv)']);
  expect(steps(r, dmabuf, () => expect(() => Session.attach(dmabuf, r.far)).toThrow(errno('ENODEV')))).toEqual([]);
  session.end();
  expect(steps(r, dmabuf, () => dmabuf.put())).toEqual([]);
});

test('power states and low power', () => {
  using r = rig(TRACED);
  const dmabuf = r.buffer();
  const revoked = [
    'move(true)',
    'L(resv)',
    'revoked=true',
    'wait fences',
    'U(resv)',
    'kref_put, wait completion',
    're-arm',
  ];
  const unrevoked = ['move(false)', 'L(resv)', 'U(resv)', 'L(resv)', 'U(resv)'];
  const locked = (...inside: string[]): string[] => ['L(memory_lock)', ...inside, 'U(memory_lock)'];
  const sequence = (fn: () => void): string[] => steps(r, dmabuf, fn);
  expect(sequence(() => r.dut.setPowerState(3))).toEqual(locked('zap CPU mmaps', ...revoked, 'set power state'));
  expect(sequence(() => r.dut.setPowerState(0))).toEqual(locked('set power state', ...unrevoked));
  expect(sequence(() => r.dut.lowPowerEntry())).toEqual(locked('zap CPU mmaps', ...revoked));
  expect(sequence(() => r.dut.lowPowerExit())).toEqual(locked(...unrevoked));
  expect(sequence(() => r.dut.reset())).toEqual(
    locked('zap CPU mmaps', 'set power state', ...revoked, 'reset', ...unrevoked),
  );
  dmabuf.put();
});
