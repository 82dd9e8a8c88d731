import { DmaBuf, FdTable, File, registerDrivers } from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';
import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import type { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { exportRevocable, mapsOf, revocableOf } from '#dist/dma-buf/revocable-exporter.test-worker.js';

const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });
const workerUrl = new URL(import.meta.resolve('#dist/dma-buf/reap.test-worker.js'));

/** Starts a worker that gets into a state and stays there; returns its task once it is there. */
async function startVictim(machine: Machine, args: object): Promise<{ worker: Worker; task: number }> {
  const { worker } = startTestWorker(workerUrl, machine, args, 'victim');
  const cell = machine.root('test.ready', 16);
  await expect.poll(() => machine.mem.i32[cell], { timeout: 30_000, interval: 2 }).not.toBe(0);
  const task = machine.mem.i32[cell]!;
  machine.mem.i32[cell] = 0;
  return { worker, task };
}

async function kill(machine: Machine, { worker, task }: { worker: Worker; task: number }): Promise<readonly string[]> {
  await worker.terminate();
  return machine.reap(task).lostLocks;
}

describe('a task that dies outside of locks', () => {
  it('loses its mappings, attachments and descriptors in an orderly way', async () => {
    using machine = testMachine();
    const dmabuf = exportRevocable(machine);
    const victim = await startVictim(machine, { job: 'use', dmabuf: dmabuf.ref, maps: 3, fds: 2 });
    expect(mapsOf(dmabuf).live).toBe(3);
    expect(dmabuf.refs).toBe(3);
    expect(dmabuf.attachments()).toHaveLength(1);
    expect(await kill(machine, victim)).toEqual([]);
    expect(mapsOf(dmabuf).live).toBe(0);
    expect(dmabuf.attachments()).toEqual([]);
    expect(dmabuf.refs).toBe(1);
    expect(revocableOf(dmabuf).revoke(dmabuf)).toBe(true);
    expect(machine.verify()).toMatchObject({ errors: [], counts: { dma_buf_attachment: 0, sg_table: 0 } });
    dmabuf.put();
  });

  it('keeps the attachments that it disowned, and their mappings, for whoever has to undo them', async () => {
    using machine = testMachine();
    const dmabuf = exportRevocable(machine);
    const victim = await startVictim(machine, { job: 'use', dmabuf: dmabuf.ref, maps: 2, fds: 1, disowned: true });
    expect(await kill(machine, victim)).toEqual([]);
    expect([mapsOf(dmabuf).live, dmabuf.refs]).toEqual([2, 1]);
    const [attachment] = dmabuf.attachments();
    for (const table of attachment!.tables()) attachment!.unmapUnlocked(table, table.direction);
    dmabuf.detach(attachment!);
    dmabuf.put();
  });

  it('gives way to a revoker that waits for its mappings', async () => {
    using machine = testMachine();
    const dmabuf = exportRevocable(machine);
    const victim = await startVictim(machine, { job: 'use', dmabuf: dmabuf.ref, maps: 1, fds: 0, deaf: true });
    const revoker = await startVictim(machine, { job: 'revoke', dmabuf: dmabuf.ref });
    await expect.poll(() => revocableOf(dmabuf).mapCount, { interval: 2 }).toBe(1);
    expect(revocableOf(dmabuf).revoked).toBe(true);
    await kill(machine, victim);
    await expect
      .poll(() => machine.tasks().some((t) => t.id === revoker.task && t.state !== 'dead'), { interval: 2 })
      .toBe(false);
    expect(revocableOf(dmabuf)).toMatchObject({ revoked: true, mapCount: 1 });
    dmabuf.put();
  });

  it('leaves references that only it knew of as damage, not as a leak', async () => {
    const machine = testMachine();
    const dmabuf = exportRevocable(machine);
    const victim = await startVictim(machine, { job: 'hold-reference', dmabuf: dmabuf.ref });
    await kill(machine, victim);
    dmabuf.put();
    const report = machine.verify();
    expect(report.leaks).toEqual([]);
    expect(report.damage).toEqual([expect.stringMatching(/file: buffer test-revocable#1 has 1 references.*died/)]);
    machine.leave();
  });

  it('passes an attachment that another task maps through on to that task', async () => {
    using machine = testMachine();
    const dmabuf = exportRevocable(machine);
    const victim = await startVictim(machine, { job: 'use', dmabuf: dmabuf.ref, maps: 1, fds: 0 });
    const [attachment] = dmabuf.attachments();
    const mine = attachment!.mapUnlocked(0);
    await kill(machine, victim);
    expect(mapsOf(dmabuf).live).toBe(1);
    expect(attachment).toMatchObject({ alive: true, ownerTask: machine.tid });
    attachment!.unmapUnlocked(mine, 0);
    dmabuf.detach(attachment!);
    dmabuf.put();
  });

  it('unpins what it had pinned', async () => {
    using machine = testMachine();
    const dmabuf = exportRevocable(machine);
    const victim = await startVictim(machine, { job: 'use', dmabuf: dmabuf.ref, maps: 0, fds: 0, pins: 2 });
    expect(dmabuf.attachments()[0]!.pins).toBe(2);
    await kill(machine, victim);
    expect(dmabuf.attachments()).toEqual([]);
    dmabuf.put();
  });

  it('has the release done that it had put off until its locks were dropped', async () => {
    using machine = testMachine();
    const dmabuf = exportRevocable(machine);
    const victim = await startVictim(machine, { job: 'put-under-lock', dmabuf: dmabuf.ref });
    expect(File.openCount(machine)).toBe(1);
    expect(await kill(machine, victim)).toEqual(['test.lock']);
    expect(File.openCount(machine)).toBe(0);
    expect(machine.verify().counts).toMatchObject({ dma_buf: 0, 'slab:test_revocable': 0 });
  });

  it('leaves its process to the tasks that share it', async () => {
    using machine = testMachine();
    const table = FdTable.current(machine);
    const dmabuf = exportRevocable(machine);
    const victim = await startVictim(machine, { job: 'share', dmabuf: dmabuf.ref, table: table.ref });
    await kill(machine, victim);
    expect(table.entries().map((e) => e.fd)).toEqual([0]);
    table.close(0);
    dmabuf.put();
    expect(File.openCount(machine)).toBe(0);
  });
});

describe('a task that dies with the resv lock of a buffer', () => {
  it('leaves the buffer damaged; lockers and revokers are told', async () => {
    using machine = testMachine();
    const dmabuf = exportRevocable(machine);
    const other = exportRevocable(machine);
    const victim = await startVictim(machine, { job: 'hold-resv', dmabuf: dmabuf.ref, maps: 2 });
    expect(await kill(machine, victim)).toHaveLength(1);
    expect(dmabuf.damagedBy).toBe(victim.task);
    expect(other.damagedBy).toBe(0);
    expect(() => dmabuf.resv.lock()).toThrow(kernelError('EOWNERDEAD'));
    expect(() => revocableOf(dmabuf).revoke(dmabuf)).toThrow(kernelError('EOWNERDEAD'));
    const report = machine.verify();
    expect(report).toMatchObject({ errors: [] });
    expect(report.damage).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/buffer test-revocable#1 is beyond use since task \d+ died/),
        expect.stringMatching(/sg_table: a table of task \d+ was not unmapped/),
        expect.stringMatching(/dma_buf_attachment: importer test-obedient did not detach/),
      ]),
    );
    expect(report.leaks.filter((l) => !l.startsWith('file'))).toEqual([]);
    other.put();
    expect(DmaBuf.of(machine, dmabuf.ref).refs).toBe(1);
    machine.diag.expect('warn', 'dma_buf_release');
    dmabuf.put();
  });

  it('lets go of a revoker that waits for its mappings', async () => {
    using machine = testMachine();
    const dmabuf = exportRevocable(machine);
    const victim = await startVictim(machine, { job: 'hold-resv-when-told', dmabuf: dmabuf.ref });
    const revoker = startTestWorker<string>(workerUrl, machine, { job: 'revoke-error', dmabuf: dmabuf.ref });
    const cell = machine.root('test.locked', 16);
    await expect.poll(() => machine.mem.i32[cell], { timeout: 30_000, interval: 2 }).toBe(1);
    await kill(machine, victim);
    expect(await revoker.result).toMatch(
      /EOWNERDEAD, dma_buf_revoke: task \d+ died with mappings of buffer test-revocable#1/,
    );
    machine.diag.expect('warn', 'dma_buf_release');
    dmabuf.put();
  });
});

describe('a task that dies without the reaper knowing its drivers', () => {
  it('leaves the buffer damaged and says which driver is missing', async () => {
    const machine = testMachine();
    machine.diag.expect('warn', 'reap');
    registerDrivers(machine, []);
    const victim = await startVictim(machine, { job: 'export-and-use' });
    await kill(machine, victim);
    const warnings = machine.diag.records().filter((r) => r.kind === 'warn');
    expect(warnings.length).toBeGreaterThan(0);
    expect(warnings[0]!.text).toMatch(
      /exporter driver 'test-private' is not registered in thread 'test'.*registerDrivers/,
    );
    const report = machine.verify();
    expect(report).toMatchObject({ errors: [], leaks: [] });
    expect(report.damage.length).toBeGreaterThan(0);
    machine.leave();
  });
});
