import { registerImporters } from '@dmabuf-emu/importers';
import { atomicStore } from '@dmabuf-emu/shm';
import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { rdmaLike, revoke, unrevoke } from '#dist/testing/bar-exporter.test-worker.js';
import type { EngineReport } from '#dist/testing/engine.test-worker.js';
import { attach, buffer, control, NIC, pciOf, steps } from '#dist/testing/rig.test-worker.js';

const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });
const engineUrl = new URL(import.meta.resolve('#dist/testing/engine.test-worker.js'));

describe('an iommufd importer', () => {
  it('moves data through the function that it has', () => {
    using machine = testMachine();
    const pci = pciOf(machine, true);
    const dmabuf = buffer(machine);
    const session = attach('iommufd', dmabuf);
    expect(session.attachment.device).toMatchObject({ name: 'iommufd', kind: 'platform' });
    expect(session.attachment.pins).toBe(1);
    expect(steps(session, 10)).toMatchObject({ outcome: 'ok', mismatches: [] });
    expect(pci.function(NIC).iommu.mappedPages).toBe(64);
    session.detach();
    expect(pci.function(NIC).iommu.mappedPages).toBe(0);
    dmabuf.put();
  });

  it('faults after a revoke, and maps the file again when it can', () => {
    using machine = testMachine();
    const pci = pciOf(machine, true);
    const dmabuf = buffer(machine);
    const session = attach('iommufd', dmabuf);
    steps(session, 3);
    revoke(dmabuf);
    expect(session.mapped).toBe(false);
    expect(session.step()).toMatchObject({ outcome: 'faulted', bytesWritten: 0 });
    expect(session.step()).toMatchObject({ outcome: 'revoked', errno: 'ENODEV' });
    unrevoke(dmabuf);
    expect(session.mapped).toBe(false);
    expect(session.step()).toMatchObject({ outcome: 'ok', mapped: true });
    expect(dmabuf.attachments()).toHaveLength(1);
    expect(pci.faults.counts()).toEqual({ 'iommu-fault': 1 });
    session.detach();
    dmabuf.put();
  });

  it('shares its function with an ODP importer', () => {
    using machine = testMachine();
    const pci = pciOf(machine, true);
    const dmabuf = buffer(machine);
    const sessions = [attach('iommufd', dmabuf, { index: 0 }), attach('odp', dmabuf, { index: 1 })];
    for (let i = 0; i < 10; i++)
      for (const session of sessions) expect(session.step()).toMatchObject({ outcome: 'ok', mismatches: [] });
    expect(pci.function(NIC).iommu.mappedPages).toBe(128);
    for (const session of sessions) session.detach();
    dmabuf.put();
  });

  it('is refused by memory that cannot be pinned, and without an IOMMU', () => {
    using machine = testMachine();
    pciOf(machine, true, false);
    const dmabuf = buffer(machine);
    expect(() => attach('iommufd', dmabuf)).toThrow(kernelError('EOPNOTSUPP'));
    dmabuf.put();
    using other = testMachine();
    pciOf(other, true);
    const rdma = buffer(other, rdmaLike);
    expect(() => attach('iommufd', rdma)).toThrow(kernelError('EOPNOTSUPP'));
    rdma.put();
  });

  it('has no access under way when a revoke returns', async () => {
    using machine = testMachine();
    const pci = pciOf(machine, true);
    registerImporters(machine);
    const dmabuf = buffer(machine);
    const { result } = startTestWorker<EngineReport>(
      engineUrl,
      machine,
      { dmabuf: dmabuf.ref, kind: 'iommufd', count: 1 },
      'user',
    );
    const stepsDone = (): number => machine.mem.i32[control(machine).steps]!;
    await expect.poll(stepsDone, { timeout: 30_000 }).toBeGreaterThan(10);
    for (let i = 0; i < 40; i++) {
      revoke(dmabuf);
      const before = pci.memory.cpuRead(0x2f000000000 + (1 << 20), dmabuf.size);
      await new Promise((resolve) => setTimeout(resolve, 1));
      expect(Buffer.compare(before, pci.memory.cpuRead(0x2f000000000 + (1 << 20), dmabuf.size))).toBe(0);
      unrevoke(dmabuf);
      const done = stepsDone();
      await expect.poll(stepsDone, { timeout: 30_000, interval: 2 }).toBeGreaterThan(done + 1);
    }
    atomicStore(machine.mem, control(machine).stop, 1);
    const report = await result;
    expect(report.mismatches).toBe(0);
    expect(report.maps).toBeGreaterThan(5);
    expect(Object.keys(pci.faults.counts())).toEqual(['iommu-fault']);
    dmabuf.put();
  });
});
