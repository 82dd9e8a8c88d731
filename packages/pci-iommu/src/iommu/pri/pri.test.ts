import { Machine, setSyncHook, TaskKilled } from '@dmabuf-emu/shm';
import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { ExtCapId, PRI_CTRL, PRI_STATUS, PriBit } from '../../config-space/index.ts';
import { PciSystem } from '../../system/index.ts';
import { NODE, smallTopology } from '../../system/test-system.ts';
import { installPageFaultHandler, IommuProt, type PageFaultGroup, type PageResponse } from '../index.ts';
import type { PriJob } from './pri.test-worker.ts';

const IOVA = 0x40_0000;
const PAGE = 4096;
const HANDLER = 'test-odp';

/** A system whose function B has ATS and page requests, on, and a handler that answers what `respond` says. */
function priSystem(
  machine: ReturnType<typeof testMachine>,
  respond: (pci: PciSystem, group: PageFaultGroup) => PageResponse,
  requests = 32,
) {
  const topology = smallTopology();
  const functions = topology.functions.map((fn) => (fn.bdf === NODE.B ? { ...fn, ats: true, pri: 64 } : fn));
  const pci = PciSystem.create(machine, { topology: { ...topology, functions } });
  const b = pci.function(NODE.B);
  const groups: PageFaultGroup[] = [];
  installPageFaultHandler(machine, {
    name: HANDLER,
    handle: (_, group) => {
      groups.push(group);
      return respond(pci, group);
    },
  });
  b.enableAts();
  b.pri.enable(requests);
  b.iommu.onPageFault(HANDLER);
  const at = b.config.findExtCapability(ExtCapId.PRI);
  return {
    pci,
    b,
    groups,
    queue: pci.pageRequests(b.topology.hostBridge),
    status: () => b.config.read(at + PRI_STATUS, 2),
    at,
  };
}

describe('page requests', () => {
  test('are switched by the function’s register, with ATS, up to its limit', () => {
    using machine = testMachine();
    const { pci, b, at } = priSystem(machine, () => 'invalid');
    expect(b.config.read(at + PRI_CTRL, 2)).toBe(PriBit.ENABLE);
    expect(() => b.pri.enable(1)).toThrow(/EBUSY/u);
    b.disableAts();
    expect(b.config.read(at + PRI_CTRL, 2)).toBe(0);
    expect(() => b.pri.enable(1)).toThrow(/EINVAL.*ATS is off/u);
    b.enableAts();
    expect(() => b.pri.enable(0)).toThrow(/EINVAL.*0 requests/u);
    b.pri.enable(1000);
    expect(b.config.read(at + 12, 4)).toBe(64);
    expect(() => pci.function(NODE.C).pri.enable(1)).toThrow(/EINVAL.*no page requests/u);
  });

  test('success: pages are made present in groups, and the access goes on', () => {
    using machine = testMachine();
    let ram = 0;
    const { pci, b, groups } = priSystem(machine, (system, { iova, pages }) => {
      system.function(NODE.B).iommu.map(iova, ram + iova - IOVA, pages * PAGE, IommuProt.READ | IommuProt.WRITE);
      return 'success';
    });
    ram = pci.memory.allocPages(12);
    const bytes = Uint8Array.from({ length: 11 * PAGE }, (_, i) => i >>> 4);
    b.dma.write(IOVA + 100, bytes);
    expect(pci.memory.cpuRead(ram + 100, bytes.length)).toEqual(bytes);
    expect(groups).toEqual([
      { domain: b.iommu.ref, fn: b.index, iova: IOVA, pages: 8, write: true },
      { domain: b.iommu.ref, fn: b.index, iova: IOVA + 8 * PAGE, pages: 4, write: true },
    ]);
    expect(pci.faults.list()).toEqual([]);
    expect(b.pri.outstanding).toBe(0);
    b.iommu.unmap(IOVA, 12 * PAGE);
    pci.memory.freePages(ram, 12);
  });

  test('a page that may only be read is asked for again to be written', () => {
    using machine = testMachine();
    let ram = 0;
    const { pci, b, groups } = priSystem(machine, (system, { iova, write }) => {
      const { iommu } = system.function(NODE.B);
      iommu.unmap(iova, PAGE);
      iommu.map(iova, ram, PAGE, write ? IommuProt.READ | IommuProt.WRITE : IommuProt.READ);
      return 'success';
    });
    ram = pci.memory.allocPages(1);
    b.dma.read(IOVA, 4);
    b.dma.write(IOVA, Uint8Array.of(1));
    expect(groups.map(({ write }) => write)).toEqual([false, true]);
    b.iommu.unmap(IOVA, PAGE);
    pci.memory.freePages(ram, 1);
  });

  test('invalid: this access fails, the next one asks again', () => {
    using machine = testMachine();
    const { pci, b, groups } = priSystem(machine, () => 'invalid');
    for (let i = 0; i < 2; i++) expect(() => b.dma.write(IOVA, Uint8Array.of(1))).toThrow(/page request: invalid/u);
    expect(groups).toHaveLength(2);
    expect(pci.faults.count('iommu-fault')).toBe(2);
  });

  test('failure: the function stops asking until its page requests were switched off and on', () => {
    using machine = testMachine();
    const { b, groups, status } = priSystem(machine, () => 'failure');
    expect(() => b.dma.write(IOVA, Uint8Array.of(1))).toThrow(/page request: failure/u);
    expect(status()).toBe(PriBit.RESPONSE_FAILURE);
    expect(() => b.dma.write(IOVA, Uint8Array.of(1))).toThrow(/not mapped/u);
    expect(groups).toHaveLength(1);
    b.pri.disable();
    expect(status()).toBe(PriBit.STOPPED);
    b.pri.enable(8);
    expect(() => b.dma.write(IOVA, Uint8Array.of(1))).toThrow(/page request: failure/u);
  });

  test('success without a page: the function gives up in the end', () => {
    using machine = testMachine();
    const { b, groups } = priSystem(machine, () => 'success');
    expect(() => b.dma.write(IOVA, Uint8Array.of(1))).toThrow(/not mapped/u);
    expect(groups).toHaveLength(8);
  });

  test('off, or without a handler: a plain fault, or refused', () => {
    using machine = testMachine();
    const { b, groups } = priSystem(machine, () => 'success');
    b.iommu.onPageFault(null);
    expect(() => b.dma.write(IOVA, Uint8Array.of(1))).toThrow(/page request: invalid/u);
    b.pri.disable();
    expect(() => b.dma.write(IOVA, Uint8Array.of(1))).toThrow(/not mapped/u);
    expect(groups).toEqual([]);
  });

  test('groups are no larger than what may be outstanding', () => {
    using machine = testMachine();
    const { b, groups } = priSystem(machine, () => 'invalid', 3);
    expect(b.dma.tryWrite(IOVA, new Uint8Array(6 * PAGE))).toBe(0);
    expect(groups.map(({ pages }) => pages)).toEqual([3]);
  });

  test('a queue that overflows: the hardware answers by itself, and takes nothing until that is cleared', () => {
    using machine = testMachine();
    const { b, queue } = priSystem(machine, () => 'invalid', 8);
    const group = { domain: b.iommu.ref, fn: b.index, iova: IOVA, pages: 300, write: true };
    expect(queue.request(group)).toBe('success');
    expect(queue).toMatchObject({ overflowed: true, dropped: 45, length: 255 });
    expect(queue.request({ ...group, pages: 1 })).toBe('success');
    expect(queue.serve()).toBe(0);
    expect(queue).toMatchObject({ overflowed: true, length: 0 });
    queue.clearOverflow();
    expect(queue.request({ ...group, pages: 1 })).toBe('invalid');
  });

  test('without memory for a group the access is refused', () => {
    using machine = testMachine();
    const { b } = priSystem(machine, () => 'success');
    machine.faults.failNth(1, { site: 'iopf.group' });
    expect(() => b.dma.write(IOVA, Uint8Array.of(1))).toThrow(/page request: invalid/u);
    expect(b.pri.outstanding).toBe(0);
  });

  test('what a task asked for that died is forgotten when it is reaped', () => {
    using machine = testMachine();
    const { pci, b } = priSystem(machine, () => 'success');
    const other = Machine.join(machine.handle, { name: 'engine' });
    const died = new TaskKilled(other.tid, 'iopf');
    const former = setSyncHook((label) => {
      if (label === 'iopf') throw died;
    });
    b.iommu.onPageFault('nobody-here');
    expect(() => PciSystem.of(other).function(NODE.B).dma.write(IOVA, Uint8Array.of(1))).toThrow(died);
    setSyncHook(former);
    expect(b.pri.outstanding).toBe(1);
    machine.reap(other.tid);
    expect(b.pri.outstanding).toBe(0);
    b.iommu.onPageFault(null);
    expect(pci.pageRequests(b.topology.hostBridge).serve()).toBe(0);
    expect(machine.verify()).toMatchObject({ errors: [], leaks: [] });
  });

  const worker = new URL(import.meta.resolve('#dist/iommu/pri/pri.test-worker.js'));

  test('a handler in another thread serves what engines in several threads ask for', { timeout: 60_000 }, async () => {
    using machine = testMachine();
    const { pci, b, queue } = priSystem(machine, () => 'failure', 4);
    b.iommu.onPageFault('far-odp');
    const ram = pci.memory.allocPages(64);
    const server = startTestWorker<number>(
      worker,
      machine,
      { role: 'server', ram, pages: 64 } satisfies PriJob,
      'server',
    );
    const engines = [0, 1, 2].map((nth) => {
      const job: PriJob = { role: 'engine', iova: IOVA + nth * 16 * PAGE, pages: 16, seed: nth };
      return startTestWorker<number>(worker, machine, job, `engine-${nth}`).result;
    });
    expect(await Promise.all(engines)).toEqual([16, 16, 16]);
    expect(await server.result).toBeGreaterThanOrEqual(12);
    expect(pci.faults.list()).toEqual([]);
    expect([queue.length, b.pri.outstanding]).toEqual([0, 0]);
    b.iommu.unmap(IOVA, 48 * PAGE);
    pci.memory.freePages(ram, 64);
  });
});
