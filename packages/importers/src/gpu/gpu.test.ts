import { Fence, ResvUsage } from '@dmabuf-emu/core';
import { GpuBo, JOB_TIMEOUT_MS, registerImporters, ringsOf } from '@dmabuf-emu/importers';
import { atomicStore } from '@dmabuf-emu/shm';
import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { gpuFence } from '#dist/gpu/gpu-fence.js';
import type { GpuSession } from '#dist/gpu/gpu-session.js';
import { StepTally } from '#dist/session/step-result.js';
import { laxExporter, rdmaLike, revocableOf, revoke, unrevoke } from '#dist/testing/bar-exporter.test-worker.js';
import type { EngineReport } from '#dist/testing/engine.test-worker.js';
import { attach, buffer, control, GPU, NIC, pciOf, steps } from '#dist/testing/rig.test-worker.js';
import { eventsSince } from '../testing/trace.fixture.ts';

const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });
const engineUrl = new URL(import.meta.resolve('#dist/testing/engine.test-worker.js'));
const revokerUrl = new URL(import.meta.resolve('#dist/testing/revoker.test-worker.js'));

describe('a GPU', () => {
  it('maps when it submits, moves data, and goes away without a trace', () => {
    using machine = testMachine();
    pciOf(machine, true);
    for (const exporter of [undefined, rdmaLike]) {
      const dmabuf = buffer(machine, exporter);
      const session = attach('gpu', dmabuf);
      expect(session.mapped).toBe(false);
      expect(session.step()).toMatchObject({ outcome: 'ok', mapped: true, mismatches: [] });
      let written = 0;
      for (let i = 0; i < 20; i++) {
        const result = session.step();
        expect(result).toMatchObject({ outcome: 'ok', mismatches: [] });
        expect(result.mapped).toBeUndefined();
        written += result.bytesWritten;
      }
      expect(written).toBeGreaterThan(0);
      session.detach();
      dmabuf.put();
    }
  });

  it('lets go at once when it is idle, and maps again with the next job', () => {
    using machine = testMachine({ traceEvents: 1024 });
    pciOf(machine, true);
    const dmabuf = buffer(machine);
    const session = attach('gpu', dmabuf) as GpuSession;
    steps(session, 3);
    const events = eventsSince(machine);
    revoke(dmabuf);
    expect(events()).toEqual([
      'revoke 1',
      'revoke 2',
      'revoke 3',
      'invalidate_mappings',
      'unmap_attachment',
      'revoke 4',
      'revoke 5',
      'revoke 6',
      'revoke 7',
    ]);
    expect(session.bo.unmaps).toEqual({ now: 1, deferred: 0 });
    expect(session.step()).toMatchObject({ outcome: 'revoked', errno: 'ENODEV' });
    unrevoke(dmabuf);
    expect(session.bo.unmaps.now).toBe(1);
    expect(session.step()).toMatchObject({ outcome: 'ok', mapped: true });
    session.detach();
    dmabuf.put();
  });

  it('publishes a job as writer or reader, and a page-table update as bookkeeping', () => {
    using machine = testMachine();
    const pci = pciOf(machine, true);
    registerImporters(machine);
    const dmabuf = buffer(machine);
    const bo = GpuBo.import(dmabuf, pci.function(GPU).device, 'gpu');
    const rings = ringsOf(machine);
    const usages = (): [number, ResvUsage][] => {
      const found: [number, ResvUsage][] = [];
      dmabuf.resv.with(() =>
        dmabuf.resv.forEach(ResvUsage.BOOKKEEP, (fence, usage) => void found.push([fence.context, usage])),
      );
      return found;
    };
    const first = bo.submit(rings, true);
    expect(usages()).toEqual([
      [rings.binds.context, ResvUsage.BOOKKEEP],
      [rings.jobs.context, ResvUsage.WRITE],
    ]);
    expect(bo).toMatchObject({ mapped: true, inFlight: 1 });
    first.waitTurn(new StepTally());
    first.end();
    first.end();
    expect(bo.inFlight).toBe(0);
    const second = bo.submit(rings, false);
    expect(second.mapNs).toBeUndefined();
    expect(usages()).toContainEqual([rings.jobs.context, ResvUsage.READ]);
    second.end('EIO');
    bo.close();
    dmabuf.put();
  });

  it('ends a job with an error when its DMA fails, and goes on', () => {
    using machine = testMachine();
    const pci = pciOf(machine, true);
    const dmabuf = buffer(machine);
    const session = attach('gpu', dmabuf) as GpuSession;
    steps(session, 2);
    pci.function(GPU).config.busMaster = false;
    expect(session.step().outcome).toBe('faulted');
    expect(session.bo.inFlight).toBe(0);
    expect(dmabuf.resv.testSignaled(ResvUsage.BOOKKEEP)).toBe(true);
    pci.function(GPU).config.busMaster = true;
    expect(steps(session, 3).outcome).toBe('ok');
    session.detach();
    dmabuf.put();
  });

  it('gives up on a job whose predecessors take too long', async () => {
    using machine = testMachine({ clock: 'manual' });
    pciOf(machine, true);
    const dmabuf = buffer(machine);
    const right = Fence.create(machine, { ops: gpuFence, context: 99, seqno: 1 });
    dmabuf.resv.with(() => {
      dmabuf.resv.reserveFences(1);
      dmabuf.resv.addFence(right.fence, ResvUsage.WRITE);
    });
    const { result } = startTestWorker<EngineReport>(engineUrl, machine, { dmabuf: dmabuf.ref, kind: 'gpu' }, 'gpu');
    const waiting = () => machine.tasks().find(({ name }) => name === 'gpu')?.waitingFor?.label;
    await expect.poll(waiting, { timeout: 30_000 }).toMatch(/fence/);
    machine.clock.advance(JOB_TIMEOUT_MS);
    await expect.poll(() => machine.mem.i32[control(machine).steps], { timeout: 30_000 }).toBe(1);
    right.signal();
    atomicStore(machine.mem, control(machine).stop, 1);
    expect((await result).outcomes.faulted).toBe(1);
    dmabuf.put();
  });

  it('is refused when too many jobs are on the buffer', () => {
    using machine = testMachine();
    const pci = pciOf(machine, true);
    registerImporters(machine);
    const dmabuf = buffer(machine, laxExporter);
    const bo = GpuBo.import(dmabuf, pci.function(NIC).device, 'gpu');
    const jobs = Array.from({ length: 25 }, () => bo.submit(ringsOf(machine), true));
    expect(() => bo.submit(ringsOf(machine), true)).toThrow(kernelError('EAGAIN'));
    for (const job of jobs) job.end();
    bo.submit(ringsOf(machine), true).end();
    bo.close();
    dmabuf.put();
  });

  // spec: drivers §8.1 4, core §5.6
  it('waits for the exporter and for jobs before its own', async () => {
    using machine = testMachine();
    pciOf(machine, true);
    const dmabuf = buffer(machine);
    const rights = [ResvUsage.KERNEL, ResvUsage.WRITE].map((usage, i) => {
      const right = Fence.create(machine, { ops: gpuFence, context: 90 + i, seqno: 1 });
      dmabuf.resv.with(() => {
        dmabuf.resv.reserveFences(1);
        dmabuf.resv.addFence(right.fence, usage);
      });
      return right;
    });
    const { result } = startTestWorker<EngineReport>(engineUrl, machine, { dmabuf: dmabuf.ref, kind: 'gpu' }, 'gpu');
    const state = () => machine.tasks().find(({ name }) => name === 'gpu');
    await expect.poll(() => state()?.waitingFor?.label, { timeout: 30_000 }).toMatch(/fence/);
    expect(dmabuf.resv.isLocked).toBe(true);
    rights[0]!.signal();
    await expect.poll(() => dmabuf.resv.isLocked, { timeout: 30_000 }).toBe(false);
    await expect.poll(() => state()?.waitingFor?.label, { timeout: 30_000 }).toMatch(/fence/);
    expect(machine.mem.i32[control(machine).steps]).toBe(0);
    rights[1]!.signal();
    await expect.poll(() => machine.mem.i32[control(machine).steps], { timeout: 30_000 }).toBeGreaterThan(3);
    atomicStore(machine.mem, control(machine).stop, 1);
    const report = await result;
    expect(report).toMatchObject({ mismatches: 0, maps: 1 });
    expect(report.fenceWakes).toBeGreaterThanOrEqual(1);
    dmabuf.put();
  });

  // spec: drivers §14.2
  it('follows the reference sequence: the revoker waits for the job, then for the deferred unmap', async () => {
    using machine = testMachine();
    const pci = pciOf(machine, true);
    registerImporters(machine);
    const dmabuf = buffer(machine);
    const bo = GpuBo.import(dmabuf, pci.function(GPU).device, 'gpu');
    const job = bo.submit(ringsOf(machine), true);
    job.waitTurn(new StepTally());
    expect(revocableOf(dmabuf).mapCount).toBe(2);
    const revoker = startTestWorker<string>(
      revokerUrl,
      machine,
      { dmabuf: dmabuf.ref, times: 1, keep: true },
      'revoker',
    );
    const waiting = () => machine.tasks().find(({ name }) => name === 'revoker')?.waitingFor?.label;
    await expect.poll(() => bo.stale, { timeout: 30_000 }).toBe(true);
    await expect.poll(waiting, { timeout: 30_000 }).toMatch(/fence/);
    expect(dmabuf.resv.isLocked).toBe(true);
    expect(bo).toMatchObject({ mapped: true, inFlight: 1 });
    pci.function(GPU).dma.write(job.window.address(3), Uint8Array.of(1, 2, 3));
    job.signal();
    await expect.poll(waiting, { timeout: 30_000 }).toBe('dma_buf.drained');
    expect(dmabuf.resv.isLocked).toBe(false);
    expect(revocableOf(dmabuf).mapCount).toBe(1);
    expect(bo.mapped).toBe(true);
    job.retire();
    expect(bo.unmaps).toEqual({ now: 0, deferred: 1 });
    expect(await revoker.result).toBe('done');
    expect(() => bo.submit(ringsOf(machine), true)).toThrow(kernelError('ENODEV'));
    expect(pci.faults.list()).toEqual([]);
    bo.close();
    dmabuf.put();
  });

  it('shares a buffer with another GPU and a NIC while it is revoked again and again', async () => {
    using machine = testMachine();
    const pci = pciOf(machine, true);
    const dmabuf = buffer(machine);
    const start = (kind: string, bdf: string, index: number) =>
      startTestWorker<EngineReport>(
        engineUrl,
        machine,
        { dmabuf: dmabuf.ref, kind, bdf, index, count: 3, seed: index },
        `${kind}-${index}`,
      );
    const workers = [start('gpu', GPU, 0), start('gpu', '0000:e1:00.0', 1), start('odp', NIC, 2)];
    await expect.poll(() => machine.mem.i32[control(machine).steps], { timeout: 30_000 }).toBeGreaterThan(20);
    const revoker = startTestWorker<string>(revokerUrl, machine, { dmabuf: dmabuf.ref, times: 200 }, 'revoker');
    expect(await revoker.result).toBe('done');
    atomicStore(machine.mem, control(machine).stop, 1);
    for (const { result } of workers) {
      const report = await result;
      expect(report.mismatches).toBe(0);
      expect(report.outcomes.ok).toBeGreaterThan(10);
      expect(report.outcomes.faulted).toBeUndefined();
    }
    expect(pci.faults.list()).toEqual([]);
    dmabuf.put();
  });
});
