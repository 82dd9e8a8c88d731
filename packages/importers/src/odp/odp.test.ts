import { type DmaBuf, Fence, ResvUsage } from '@dmabuf-emu/core';
import { OdpMr, registerImporters } from '@dmabuf-emu/importers';
import { PciSystem } from '@dmabuf-emu/pci-iommu';
import { atomicStore } from '@dmabuf-emu/shm';
import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { gpuFence } from '#dist/gpu/gpu-fence.js';
import type { OdpSession } from '#dist/odp/odp-session.js';
import { laxExporter, rdmaLike, revocableOf, revoke, unrevoke } from '#dist/testing/bar-exporter.test-worker.js';
import type { EngineReport } from '#dist/testing/engine.test-worker.js';
import { attach, buffer, control, EXPORTER, NIC, PAGES, pciOf, steps } from '#dist/testing/rig.test-worker.js';
import { eventsSince } from '../testing/trace.fixture.ts';

const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });
const engineUrl = new URL(import.meta.resolve('#dist/testing/engine.test-worker.js'));

function info(dmabuf: DmaBuf) {
  return { device: PciSystem.of(dmabuf.machine).function(NIC).device, dmabuf, offset: 0, length: dmabuf.size };
}

describe('an ODP importer', () => {
  it('moves data, checks it, and goes away without a trace', () => {
    using machine = testMachine();
    const pci = pciOf(machine, true);
    const dmabuf = buffer(machine);
    const session = attach('odp', dmabuf);
    for (let i = 0; i < 20; i++) {
      const result = session.step();
      expect(result).toMatchObject({ outcome: 'ok', mismatches: [] });
      expect(result.bytesWritten).toBeGreaterThan(0);
      expect(result.bytesRead).toBeGreaterThan(0);
    }
    const bar = pci.function(EXPORTER).bar(1)!.start + (1 << 20);
    const written = Array.from({ length: PAGES }, (_, page) =>
      pci.memory.cpuRead(bar + page * 4096, 4096).some((b) => b !== 0),
    );
    expect(written.every((yes, page) => !yes || page % 2 === 0)).toBe(true);
    expect(written.filter((yes) => yes).length).toBeGreaterThan(8);
    expect(dmabuf.refs).toBe(2);
    session.detach();
    session.detach();
    expect(session.step().outcome).toBe('dead');
    dmabuf.put();
  });

  it.each([true, false])('works over two ranges, with an IOMMU: %s', (iommu) => {
    using machine = testMachine();
    const pci = pciOf(machine, true, iommu);
    const dmabuf = buffer(machine, laxExporter, { split: 0x5000 });
    const sessions = [0, 1].map((index) => attach('odp', dmabuf, { index }));
    for (const session of sessions) expect(steps(session, 10)).toMatchObject({ outcome: 'ok', mismatches: [] });
    revoke(dmabuf);
    expect(pci.faults.list()).toEqual([]);
    for (const session of sessions) session.detach();
    dmabuf.put();
  });

  it('attaches to memory that cannot be pinned', () => {
    using machine = testMachine();
    pciOf(machine, true);
    const dmabuf = buffer(machine, rdmaLike);
    const session = attach('odp', dmabuf);
    expect(session.step().outcome).toBe('ok');
    session.detach();
    dmabuf.put();
  });

  it('sees at the byte what others do to its pages', () => {
    using machine = testMachine();
    const pci = pciOf(machine, true);
    const dmabuf = buffer(machine, laxExporter, { length: 4 * 4096 });
    const session = attach('odp', dmabuf, { count: 1 });
    session.step();
    pci.memory.cpuWrite(pci.function(EXPORTER).bar(1)!.start + (1 << 20) + 2 * 4096 + 77, Uint8Array.of(1, 2, 3));
    const { mismatches } = session.step();
    expect(mismatches).toMatchObject([{ problem: 'torn', expected: { page: 2 } }]);
    expect(mismatches[0]!.offset).toBeGreaterThanOrEqual(2 * 4096 + 77);
    expect(session.step().mismatches).toEqual([]);
    session.detach();
    dmabuf.put();
  });

  // spec: drivers §6.3
  it('takes the first page fault when it registers: a buffer that is revoked by then is refused', () => {
    using machine = testMachine();
    pciOf(machine, true);
    const dmabuf = buffer(machine, laxExporter);
    revoke(dmabuf);
    expect(() => attach('odp', dmabuf)).toThrow(kernelError('ENODEV'));
    expect(dmabuf.refs).toBe(1);
    expect(dmabuf.attachments()).toEqual([]);
    expect(() => OdpMr.reg(machine, 'mr', { ...info(dmabuf), access: 2 })).toThrow(kernelError('EINVAL'));
    dmabuf.put();
  });

  it('maps the whole region at once, and again after each callback', () => {
    using machine = testMachine();
    pciOf(machine, true);
    const dmabuf = buffer(machine);
    const { mr, fault } = OdpMr.reg(machine, 'mr', { ...info(dmabuf), offset: 0x3010, length: 0x2000, iova: 0x10 });
    expect(fault).toMatchObject({ pages: 3, translations: 1, invalidations: 0 });
    expect(fault.window).toMatchObject({ start: 0x3000, firstPage: 3 });
    dmabuf.resv.with(() => dmabuf.invalidateMappings());
    expect(mr).toMatchObject({ invalidations: 1, faults: 1 });
    expect(mr.hw.valid).toBe(0);
    dmabuf.resv.with(() => dmabuf.invalidateMappings());
    expect(mr.invalidations).toBe(1);
    expect(mr.pageFault()).toMatchObject({ pages: 3, translations: 2, invalidations: 1 });
    expect(mr.pageFault()).toMatchObject({ translations: 3 });
    expect(revocableOf(dmabuf).mapCount).toBe(2);
    mr.dereg();
    dmabuf.put();
  });

  // spec: drivers §14.1
  it('follows the reference sequence of a revoke and an un-revoke', () => {
    using machine = testMachine({ traceEvents: 1024 });
    pciOf(machine, true);
    const dmabuf = buffer(machine);
    const session = attach('odp', dmabuf) as OdpSession;
    steps(session, 2);
    const events = eventsSince(machine);
    const { mapCount } = revocableOf(dmabuf);
    expect(mapCount).toBe(2);
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
    expect(revocableOf(dmabuf)).toMatchObject({ revoked: true, mapCount: 1 });
    expect(session.step()).toMatchObject({ outcome: 'revoked', errno: 'ENODEV' });
    expect(events()).toEqual([]);
    unrevoke(dmabuf);
    expect(events()).toEqual(['invalidate_mappings']);
    expect(session.mr.invalidations).toBe(1);
    expect(session.step()).toMatchObject({ outcome: 'ok', mapped: true });
    expect(events()).toEqual(['map_attachment']);
    expect(revocableOf(dmabuf).mapCount).toBe(2);
    session.detach();
    dmabuf.put();
  });

  // spec: drivers §6.1: the wait for KERNEL fences
  it('does not touch the buffer before the exporter is done with it', async () => {
    using machine = testMachine();
    pciOf(machine, true);
    const dmabuf = buffer(machine, laxExporter);
    const right = Fence.create(machine, { ops: gpuFence, context: 99, seqno: 1 });
    dmabuf.resv.with(() => {
      dmabuf.resv.reserveFences(1);
      dmabuf.resv.addFence(right.fence, ResvUsage.KERNEL);
    });
    const { result } = startTestWorker<EngineReport>(engineUrl, machine, { dmabuf: dmabuf.ref, kind: 'odp' }, 'nic');
    await expect
      .poll(() => machine.tasks().find(({ name }) => name === 'nic')?.waitingFor?.label, { timeout: 30_000 })
      .toMatch(/fence/);
    expect(machine.mem.i32[control(machine).steps]).toBe(0);
    right.signal();
    await expect.poll(() => machine.mem.i32[control(machine).steps], { timeout: 30_000 }).toBeGreaterThan(3);
    atomicStore(machine.mem, control(machine).stop, 1);
    expect((await result).outcomes).toEqual({ ok: expect.any(Number) });
    dmabuf.put();
  });
});

describe('an ODP importer on a thread of its own', () => {
  it('bears being revoked again and again while it works', async () => {
    using machine = testMachine();
    const pci = pciOf(machine, true);
    const dmabuf = buffer(machine);
    registerImporters(machine);
    const workers = [0, 1].map((index) =>
      startTestWorker<EngineReport>(
        engineUrl,
        machine,
        { dmabuf: dmabuf.ref, kind: 'odp', index, seed: index },
        `nic-${index}`,
      ),
    );
    await expect.poll(() => dmabuf.attachments().length, { timeout: 30_000 }).toBe(workers.length);
    await expect.poll(() => machine.mem.i32[control(machine).steps], { timeout: 30_000 }).toBeGreaterThan(20);
    for (let i = 0; i < 60; i++) {
      revoke(dmabuf);
      expect(dmabuf.attachments().flatMap((attachment) => attachment.tables())).toEqual([]);
      unrevoke(dmabuf);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    atomicStore(machine.mem, control(machine).stop, 1);
    for (const { result } of workers) {
      const report = await result;
      expect(report.mismatches).toBe(0);
      expect(report.maps).toBeGreaterThan(5);
      expect(report.outcomes.faulted).toBeUndefined();
    }
    expect(pci.faults.list()).toEqual([]);
    dmabuf.put();
  });
});
