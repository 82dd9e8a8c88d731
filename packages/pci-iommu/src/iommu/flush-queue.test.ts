import { DmaDirection } from '@dmabuf-emu/core';
import { Machine } from '@dmabuf-emu/shm';
import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { PciSystem } from '../system/index.ts';
import { NODE, smallTopology, testSystem } from '../system/test-system.ts';
import type { FlushJob } from './flush-queue.test-worker.ts';
import {
  type DmaIovaState,
  dmaIovaDestroy,
  dmaIovaLink,
  dmaIovaTryAlloc,
  dmaMapPhys,
  dmaUnmapPhys,
  IommuDomain,
  IotlbGather,
} from './index.ts';

const PAGE = 4096;
const RW = DmaDirection.BIDIRECTIONAL;

/** A function of a lazy system on a clock driven by hand, and one page of RAM. */
function lazy(machine: ReturnType<typeof testMachine>, options: Parameters<typeof testSystem>[1] = {}) {
  const pci = testSystem(machine, { strict: false, ...options });
  const nic = pci.function(NODE.C);
  const ram = pci.memory.allocPages(1);
  const map = (): number => dmaMapPhys(nic, ram, PAGE, RW, {});
  return { pci, nic, ram, map, queue: nic.iommu.flushQueue!, done: () => pci.memory.freePages(ram, 1) };
}

describe('flush queue (drivers §3.1 DMA_FQ)', () => {
  test('a device gets through after the unmap until the timer has run, which is no violation', () => {
    using machine = testMachine({ clock: 'manual' });
    const { pci, nic, map, queue, done } = lazy(machine);
    const iova = map();
    nic.dma.write(iova, Uint8Array.of(1));
    dmaUnmapPhys(nic, iova, PAGE);
    expect(nic.iommu.iovaToPhys(iova)).toBe(0);
    machine.clock.advance(9);
    nic.dma.write(iova, Uint8Array.of(2));
    expect(queue).toMatchObject({ length: 1, hits: 1, flushes: 0 });
    expect(pci.faults.count()).toBe(0);
    machine.clock.advance(1);
    expect(queue).toMatchObject({ length: 0, hits: 1, flushes: 1 });
    expect(() => nic.dma.write(iova, Uint8Array.of(3))).toThrow(/not mapped/u);
    expect(pci.faults.count('iommu-fault')).toBe(1);
    done();
  });

  test('the same in a strict domain is seen at once', () => {
    using machine = testMachine();
    const { nic, map, done } = lazy(machine, { strict: true });
    expect(nic.iommu).toMatchObject({ type: 'dma', flushQueue: null });
    const iova = map();
    nic.dma.write(iova, Uint8Array.of(1));
    dmaUnmapPhys(nic, iova, PAGE);
    expect(() => nic.dma.write(iova, Uint8Array.of(2))).toThrow(/not mapped/u);
    done();
  });

  test('a stale translation that no queue stands for is a violation there too', () => {
    using machine = testMachine({ clock: 'manual' });
    const { pci, nic, ram, done } = lazy(machine);
    const iova = nic.iommu.iovaAlloc(PAGE);
    nic.iommu.map(iova, ram, PAGE, 3);
    nic.dma.write(iova, Uint8Array.of(1));
    nic.iommu.unmapFast(iova, PAGE, new IotlbGather());
    nic.dma.write(iova, Uint8Array.of(2));
    expect(pci.faults.count('stale-iotlb-hit')).toBe(1);
    nic.iommu.flushIotlb();
    nic.iommu.iovaFree(iova, PAGE);
    done();
  });

  test('an IOVA is not given out again before its flush', () => {
    using machine = testMachine({ clock: 'manual' });
    const { nic, map, done } = lazy(machine);
    const first = map();
    dmaUnmapPhys(nic, first, PAGE);
    const second = map();
    expect(second).not.toBe(first);
    machine.clock.advance(10);
    const third = map();
    expect(third).toBe(first);
    for (const iova of [second, third]) dmaUnmapPhys(nic, iova, PAGE);
    done();
  });

  test.each([
    ['per-task', 256, 10],
    ['single', 32_768, 1000],
  ] as const)('%s queue of %d entries, flushed when full or after %d ms', (flushQueue, entries, timeoutMs) => {
    using machine = testMachine({ clock: 'manual' });
    const { nic, map, queue, done } = lazy(machine, { flushQueue });
    const one = map();
    dmaUnmapPhys(nic, one, PAGE);
    machine.clock.advance(timeoutMs - 1);
    expect(queue.length).toBe(1);
    machine.clock.advance(1);
    expect(queue.length).toBe(0);
    const { flushes } = queue;
    for (let i = 0; i < entries - 1; i++) dmaUnmapPhys(nic, map(), PAGE);
    expect(queue).toMatchObject({ length: entries - 1, flushes });
    dmaUnmapPhys(nic, map(), PAGE);
    expect(queue).toMatchObject({ length: 1, flushes: flushes + 1 });
    done();
  });

  test('one timer at a time: what comes later waits for the same flush', () => {
    using machine = testMachine({ clock: 'manual' });
    const { nic, map, queue, done } = lazy(machine);
    dmaUnmapPhys(nic, map(), PAGE);
    machine.clock.advance(6);
    dmaUnmapPhys(nic, map(), PAGE);
    machine.clock.advance(4);
    expect(queue).toMatchObject({ length: 0, flushes: 1 });
    machine.clock.advance(100);
    expect(queue.flushes).toBe(1);
    done();
  });

  test('ranges linked by dma_iova_link are invalidated at once', () => {
    using machine = testMachine({ clock: 'manual' });
    const { nic, ram, queue, done } = lazy(machine);
    const state: DmaIovaState = { addr: 0, size: 0 };
    expect(dmaIovaTryAlloc(nic, state, 0, PAGE)).toBe(true);
    dmaIovaLink(nic, state, ram, 0, PAGE, RW, {});
    const iova = state.addr;
    nic.dma.write(iova, Uint8Array.of(1));
    dmaIovaDestroy(nic, state, PAGE);
    expect(() => nic.dma.write(iova, Uint8Array.of(2))).toThrow(/not mapped/u);
    expect(queue).toMatchObject({ length: 0, hits: 0 });
    done();
  });

  test('untrusted functions are strict', () => {
    using machine = testMachine();
    const { pci, done } = lazy(machine, { untrusted: [NODE.B] });
    expect(pci.function(NODE.B).iommu.type).toBe('dma');
    expect(pci.function(NODE.C).iommu.type).toBe('dma-fq');
    done();
  });

  test('without memory for a queue a domain is strict, and a task invalidates at once', () => {
    using machine = testMachine({ clock: 'manual' });
    const { pci, nic, ram, queue, map, done } = lazy(machine);
    const memory = pci.memory.map;
    for (let nth = 1; nth <= 3; nth++) {
      machine.faults.failNth(nth, { site: 'iommu.flush-queue' });
      const domain = IommuDomain.create(machine, memory, { type: 'dma-fq' });
      machine.faults.off();
      expect(domain).toMatchObject({ type: 'dma', flushQueue: null });
      domain.destroy();
    }
    dmaUnmapPhys(nic, map(), PAGE);
    machine.clock.advance(10);
    const other = PciSystem.of(Machine.join(machine.handle)).function(NODE.C);
    const iova = dmaMapPhys(other, ram, PAGE, RW, {});
    machine.faults.failNth(1, { site: 'iommu.flush-queue' });
    dmaUnmapPhys(other, iova, PAGE);
    expect(machine.faults.count).toBe(4);
    expect(queue.length).toBe(0);
    done();
  });

  test('a timer that cannot be started is started by what is queued next', () => {
    using machine = testMachine({ clock: 'manual' });
    const { nic, map, queue, done } = lazy(machine);
    const [one, two] = [map(), map()];
    machine.faults.failNth(1, { site: 'timer' });
    dmaUnmapPhys(nic, one, PAGE);
    machine.clock.advance(20);
    expect(queue.length).toBe(1);
    dmaUnmapPhys(nic, two, PAGE);
    machine.clock.advance(10);
    expect(queue.length).toBe(0);
    done();
  });

  test('what a task queued that died is flushed when it is reaped', () => {
    using machine = testMachine({ clock: 'manual' });
    const { ram, queue, done } = lazy(machine);
    const other = Machine.join(machine.handle, { name: 'engine' });
    const nic = PciSystem.of(other).function(NODE.C);
    dmaUnmapPhys(nic, dmaMapPhys(nic, ram, PAGE, RW, {}), PAGE);
    expect(queue.length).toBe(1);
    machine.reap(other.tid);
    expect(queue.length).toBe(0);
    expect(nic.iommu.livePages).toBe(0);
    done();
  });

  test('what is queued is no leak, and a destroyed domain forgets it', () => {
    using machine = testMachine({ clock: 'manual' });
    const { nic, map, done } = lazy(machine);
    dmaUnmapPhys(nic, map(), PAGE);
    expect(nic.iommu).toMatchObject({ livePages: 0, flushQueue: { pages: 1 } });
    expect(machine.verify().leaks).toEqual(['ram: 1 pages of RAM were not freed: 0x1000']);
    done();
  });
});

const worker = new URL(import.meta.resolve('#dist/iommu/flush-queue.test-worker.js'));

test('threads that map and unmap lazily never meet the address of another', { timeout: 60_000 }, async () => {
  using machine = testMachine({ memoryBytes: 32 << 20 });
  const pci = PciSystem.create(machine, { topology: smallTopology(), strict: false });
  const jobs = [1, 2, 3].map((seed) => {
    const job: FlushJob = { bdf: NODE.C, rounds: 1500, seed };
    return startTestWorker<number>(worker, machine, job, `lazy-${seed}`).result;
  });
  const flushes = await Promise.all(jobs);
  expect(Math.max(...flushes)).toBeGreaterThan(3);
  const { iommu } = pci.function(NODE.C);
  iommu.flushQueue!.flush();
  expect(iommu.flushQueue!.length).toBe(0);
  expect(iommu).toMatchObject({ livePages: 0, mappedPages: 0 });
  expect(pci.faults.list()).toEqual([]);
});
