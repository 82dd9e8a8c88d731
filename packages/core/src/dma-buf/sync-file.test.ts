import { DmaDirection, FdTable, ResvUsage, SyncFile, SyncFlags } from '@dmabuf-emu/core';
import { close, swFence, swInc, swOpen, syncMerge } from '#dist/sw-sync/sync-user.test-worker.js';
import { KernelError } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { attachFence, busy, infoOf, syncFileBusy } from './implicit.fixture.ts';
import { exported, recorder } from './recorder.fixture.ts';

const { READ, WRITE, RW, END } = SyncFlags;
const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });
const fault = () => {
  throw new KernelError('EFAULT', 'copy', 'injected');
};

describe('DMA_BUF_IOCTL_EXPORT_SYNC_FILE (core §1.6.5, §7.13 e)', () => {
  it.each([0, 4, 5, 8, -1, 2 ** 31])('refuses flags %i before it looks for a descriptor', (flags) => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    FdTable.current(machine).limit = 0;
    expect(() => dmabuf.exportSyncFile(flags)).toThrow(kernelError('EINVAL'));
    expect(() => dmabuf.exportSyncFile(READ)).toThrow(kernelError('EMFILE'));
    dmabuf.put();
  });

  it('leaves nothing behind when it fails', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const rights = [0, 1].map(() => attachFence(dmabuf, ResvUsage.READ));
    expect(() => dmabuf.exportSyncFile(WRITE, fault)).toThrow(kernelError('EFAULT'));
    let failures = 0;
    for (let n = 1; ; n++) {
      machine.faults.failNth(n);
      try {
        close(machine, dmabuf.exportSyncFile(WRITE));
        break;
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENOMEM' });
        failures++;
      }
    }
    machine.faults.off();
    expect(failures).toBeGreaterThan(6);
    expect(FdTable.current(machine).size).toBe(0);
    for (const right of rights) right.signal();
    dmabuf.put();
  });

  it('gives a fence that has ended when there is none to wait for (OBSERVED 11)', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const right = attachFence(dmabuf, ResvUsage.READ);
    const fd = dmabuf.exportSyncFile(READ);
    expect(infoOf(machine, fd)).toMatchObject({ name: 'detached-driver-signaled-timeli', status: 1, numFences: 1 });
    expect(FdTable.current(machine).cloexec(fd)).toBe(true);
    right.signal();
    close(machine, fd);
    dmabuf.put();
  });

  it('gives the one fence itself, or an array of all (OBSERVED 10)', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const [write, read] = [attachFence(dmabuf, ResvUsage.WRITE), attachFence(dmabuf, ResvUsage.READ)];
    const [one, two] = [dmabuf.exportSyncFile(READ), dmabuf.exportSyncFile(RW)];
    const only = SyncFile.fenceOf(machine, one)!;
    expect(only.ref).toBe(write.fence.ref);
    only.put();
    const { context } = SyncFile.tryGet(machine, two)!.fence;
    const name = `dma_fence_array-unbound${context}-1`;
    expect(infoOf(machine, two)).toMatchObject({ name, status: 0, numFences: 2 });
    FdTable.current(machine).entries()[1]!.file.put();
    for (const right of [write, read]) right.signal();
    close(machine, one, two);
    dmabuf.put();
  });

  it('outlives the buffer', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const right = attachFence(dmabuf, ResvUsage.WRITE);
    const fd = dmabuf.exportSyncFile(READ);
    dmabuf.put();
    expect(syncFileBusy(machine, fd)).toBe(true);
    right.signal();
    expect(syncFileBusy(machine, fd)).toBe(false);
    close(machine, fd);
  });
});

describe('DMA_BUF_IOCTL_IMPORT_SYNC_FILE (core §1.6.5, §7.13 e)', () => {
  it('refuses flags before it looks at the descriptor, and whatever is no sync_file', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const timeline = swOpen(machine);
    for (const flags of [0, 4, 8]) expect(() => dmabuf.importSyncFile(-1, flags)).toThrow(/EINVAL.*flags must be/);
    for (const fd of [-1, 77, timeline]) {
      expect(() => dmabuf.importSyncFile(fd, READ)).toThrow(/EINVAL.*is no sync_file/);
    }
    close(machine, timeline);
    dmabuf.put();
  });

  it('takes a merged file apart', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const [t, u] = [swOpen(machine), swOpen(machine)];
    const merged = syncMerge(machine, swFence(machine, t, 1), swFence(machine, u, 1));
    dmabuf.importSyncFile(merged, WRITE);
    dmabuf.importSyncFile(swFence(machine, t, 2), WRITE);
    expect(dmabuf.resv.getFences(ResvUsage.WRITE).map((fence) => (fence.put(), fence.seqno))).toEqual([2, 1]);
    swInc(machine, u, 1);
    expect(busy(dmabuf, READ)).toBe(true);
    FdTable.exit(machine);
    dmabuf.put();
  });

  it.each([
    [
      'WRITE 1 then WRITE 2',
      [
        [WRITE, 1],
        [WRITE, 2],
      ],
      1,
      1,
    ],
    [
      'WRITE 2 then WRITE 1',
      [
        [WRITE, 2],
        [WRITE, 1],
      ],
      2,
      2,
    ],
    [
      'WRITE 1 then READ 2',
      [
        [WRITE, 1],
        [READ, 2],
      ],
      2,
      1,
    ],
    [
      'READ 1 then WRITE 2',
      [
        [READ, 1],
        [WRITE, 2],
      ],
      1,
      1,
    ],
    [
      'READ 2 then WRITE 1',
      [
        [READ, 2],
        [WRITE, 1],
      ],
      2,
      1,
    ],
  ] as const)('keeps of one timeline: %s (OBSERVED 10)', (_name, imports, all, writers) => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const timeline = swOpen(machine);
    for (const [flags, value] of imports) dmabuf.importSyncFile(swFence(machine, timeline, value), flags);
    const counts = [WRITE, READ].map((flags) => infoOf(machine, dmabuf.exportSyncFile(flags)).numFences);
    expect(counts).toEqual([all, writers]);
    FdTable.exit(machine);
    dmabuf.put();
  });

  it('accepts what has ended already', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    dmabuf.importSyncFile(swFence(machine, swOpen(machine), 0), RW);
    expect([busy(dmabuf, READ), busy(dmabuf, WRITE)]).toEqual([false, false]);
    FdTable.exit(machine);
    dmabuf.put();
  });

  it('reports ENOMEM with nothing changed', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const fence = swFence(machine, swOpen(machine), 1);
    machine.faults.failNth(1, { site: 'dma_resv_reserve_fences' });
    expect(() => dmabuf.importSyncFile(fence, WRITE)).toThrow(kernelError('ENOMEM'));
    expect(busy(dmabuf, READ)).toBe(false);
    dmabuf.importSyncFile(fence, WRITE);
    expect(busy(dmabuf, READ)).toBe(true);
    FdTable.exit(machine);
    dmabuf.put();
  });
});

describe('DMA_BUF_IOCTL_SYNC (core §1.6.5)', () => {
  it('takes READ, WRITE or both, with END or not', () => {
    using machine = testMachine();
    const seen: [string, DmaDirection][] = [];
    const dmabuf = exported(
      machine,
      recorder({
        beginCpuAccess: (_, direction) => void seen.push(['begin', direction]),
        endCpuAccess: (_, direction) => void seen.push(['end', direction]),
      }),
    );
    for (const flags of [0, 4, 8, 9, 16, -1, 2 ** 32, 2 ** 32 + 1]) {
      expect(() => dmabuf.sync(flags)).toThrow(kernelError('EINVAL'));
    }
    for (const flags of [READ, WRITE, RW, READ | END, WRITE | END, RW | END]) dmabuf.sync(flags);
    const directions = [DmaDirection.FROM_DEVICE, DmaDirection.TO_DEVICE, DmaDirection.BIDIRECTIONAL];
    expect(seen).toEqual([
      ...directions.map((direction) => ['begin', direction]),
      ...directions.map((direction) => ['end', direction]),
    ]);
    dmabuf.put();
  });

  it.each([
    ['READ', ResvUsage.WRITE, true],
    ['READ', ResvUsage.READ, false],
    ['WRITE', ResvUsage.WRITE, true],
    ['WRITE', ResvUsage.READ, true],
    ['RW', ResvUsage.READ, true],
    ['RW', ResvUsage.BOOKKEEP, false],
  ] as const)('START of %s waits for a fence of class %i: %s (OBSERVED 12)', (flags, usage, waits) => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const right = attachFence(dmabuf, usage);
    machine.interrupt(machine.tid);
    const answer = (call: number): string => {
      try {
        dmabuf.sync(call);
        return 'done';
      } catch (error) {
        return (error as KernelError).code;
      }
    };
    expect(answer(SyncFlags[flags])).toBe(waits ? 'ERESTARTSYS' : 'done');
    expect(answer(SyncFlags[flags] | END)).toBe('done');
    machine.clearSignal();
    right.setError('EIO');
    right.signal();
    expect(answer(SyncFlags[flags])).toBe('done');
    dmabuf.put();
  });
});
