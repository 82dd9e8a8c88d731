import { type DmaBuf, FdTable, ResvUsage, SyncFlags } from '@dmabuf-emu/core';
import { close, swFence, swInc, swOpen } from '#dist/sw-sync/sync-user.test-worker.js';
import { type Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { attachFence, busy, exportBusy, syncFileBusy } from './implicit.fixture.ts';
import { exported, recorder } from './recorder.fixture.ts';

/* IGT's dmabuf_sync_file (core §7.10). */

const { READ, WRITE, RW } = SyncFlags;

/** Busy for readers, writers and both: by poll, then by sync_files. */
function state(dmabuf: DmaBuf): boolean[] {
  return [
    ...[READ, WRITE, RW].map((flags) => busy(dmabuf, flags)),
    ...[READ, WRITE, RW].map((flags) => exportBusy(dmabuf, flags)),
  ];
}

const IDLE = Array.from({ length: 6 }, () => false);
const READERS = [false, true, true, false, true, true];
const WRITERS = Array.from({ length: 6 }, () => true);

/** Puts the fence at `value` of a timeline on the buffer. */
function importFence(machine: Machine, dmabuf: DmaBuf, flags: number, timeline: number, value: number): void {
  const fence = swFence(machine, timeline, value);
  dmabuf.importSyncFile(fence, flags);
  close(machine, fence);
}

describe('IGT dmabuf_sync_file', () => {
  it('export-basic', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    expect(state(dmabuf)).toEqual(IDLE);
    for (const [usage, expected] of [
      [ResvUsage.READ, READERS],
      [ResvUsage.WRITE, WRITERS],
    ] as const) {
      const right = attachFence(dmabuf, usage);
      expect(state(dmabuf)).toEqual(expected);
      right.signal();
      expect(state(dmabuf)).toEqual(IDLE);
    }
    dmabuf.put();
  });

  it('export-before-signal', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    for (const [usage, expected] of [
      [ResvUsage.READ, [false, true]],
      [ResvUsage.WRITE, [true, true]],
    ] as const) {
      const right = attachFence(dmabuf, usage);
      const fds = [READ, WRITE].map((flags) => dmabuf.exportSyncFile(flags));
      expect(fds.map((fd) => syncFileBusy(machine, fd))).toEqual(expected);
      right.signal();
      expect(fds.map((fd) => syncFileBusy(machine, fd))).toEqual([false, false]);
      close(machine, ...fds);
    }
    dmabuf.put();
  });

  it('export-multiwait', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const first = [attachFence(dmabuf, ResvUsage.READ), attachFence(dmabuf, ResvUsage.READ)] as const;
    const fd = dmabuf.exportSyncFile(WRITE);
    const third = attachFence(dmabuf, ResvUsage.READ);
    const seen = [syncFileBusy(machine, fd)];
    for (const right of first) {
      right.signal();
      seen.push(syncFileBusy(machine, fd));
    }
    expect(seen).toEqual([true, true, false]);
    third.signal();
    close(machine, fd);
    dmabuf.put();
  });

  it('export-wait-after-attach', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const take = () => [READ, WRITE].map((flags) => dmabuf.exportSyncFile(flags));
    const look = (fds: number[]) => fds.map((fd) => syncFileBusy(machine, fd));
    const before = take();
    const first = attachFence(dmabuf, ResvUsage.WRITE);
    expect(look(before)).toEqual([false, false]);
    const after = take();
    expect(look(after)).toEqual([true, true]);
    first.signal();
    const second = attachFence(dmabuf, ResvUsage.WRITE);
    expect(look(after)).toEqual([false, false]);
    expect([exportBusy(dmabuf, READ), exportBusy(dmabuf, WRITE)]).toEqual([true, true]);
    second.signal();
    close(machine, ...before, ...after);
    dmabuf.put();
  });

  it('import-basic', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const timeline = swOpen(machine);
    expect(state(dmabuf)).toEqual(IDLE);
    for (const [value, flags, expected] of [
      [1, READ, READERS],
      [2, WRITE, WRITERS],
      [3, RW, WRITERS],
    ] as const) {
      importFence(machine, dmabuf, flags, timeline, value);
      expect(state(dmabuf)).toEqual(expected);
      swInc(machine, timeline, 1);
      expect(state(dmabuf)).toEqual(IDLE);
    }
    close(machine, timeline);
    dmabuf.put();
  });

  it.each([
    ['import-multiple-read-only', false],
    ['import-multiple-read-write', true],
  ])('%s', (_name, withWriter) => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const timelines = Array.from({ length: 32 }, () => swOpen(machine));
    for (const timeline of timelines) importFence(machine, dmabuf, READ, timeline, 1);
    const writer = swOpen(machine);
    if (withWriter) importFence(machine, dmabuf, WRITE, writer, 1);
    const fds = [READ, WRITE].map((flags) => dmabuf.exportSyncFile(flags));
    const look = () => [busy(dmabuf, READ), busy(dmabuf, WRITE), ...fds.map((fd) => syncFileBusy(machine, fd))];
    for (let n = 31; n >= 0; n--) {
      expect(look()).toEqual([withWriter, true, withWriter, true]);
      swInc(machine, timelines[n]!, 1);
    }
    expect(look()).toEqual(Array.from({ length: 4 }, () => withWriter));
    swInc(machine, writer, 1);
    expect(look()).toEqual([false, false, false, false]);
    FdTable.exit(machine);
    dmabuf.put();
  });
});
