import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { MESSAGE_WINDOW } from '../interrupts/index.ts';
import { IommuProt } from '../iommu/index.ts';
import { BAR, NODE, testSystem } from '../system/test-system.ts';
import type { OrderingJob, OrderingResult } from './ordering.test-worker.ts';

const worker = new URL(import.meta.resolve('#dist/dma/ordering.test-worker.js'));
const RW = IommuProt.READ | IommuProt.WRITE;
/** Few: on a busy host each takes two turns of the scheduler. */
const ROUNDS = 150;
const word = (value: number): Uint8Array => Uint8Array.of(value, 0, 0, 0);

describe('writes become visible in order', () => {
  test.each([
    ['in RAM through the IOMMU', true],
    ['in a BAR below the switch', false],
  ])('who sees the flag sees the data, on another thread: %s', { timeout: 60_000 }, async (_name, iommu) => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu });
    const b = pci.function(NODE.B);
    const paddr = iommu ? pci.memory.allocPages(2) : BAR.A;
    const address = iommu ? 0x10_0000 : paddr;
    if (iommu) b.iommu.map(address, paddr, 8192, RW);
    pci.memory.cpuFill(paddr, 0, 8192);
    const job = (role: OrderingJob['role']): OrderingJob => ({ role, bdf: NODE.B, address, rounds: ROUNDS });
    const threads = (['device', 'reader'] as const).map((role) =>
      startTestWorker<OrderingResult>(worker, machine, job(role), role),
    );
    const [device, reader] = await Promise.all(threads.map(({ result }) => result));
    expect(device).toEqual({ rounds: ROUNDS, wrong: 0 });
    expect(reader).toEqual({ rounds: ROUNDS, wrong: 0 });
    if (!iommu) return;
    b.iommu.unmap(address, 8192);
    pci.memory.freePages(paddr, 2);
  });

  test('a word is stored and loaded at once, at a multiple of its size', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false, checks: false });
    const { dma } = pci.function(NODE.B);
    dma.store(BAR.A + 4, 0x8000_0001);
    expect(dma.load(BAR.A + 4)).toBe(0x8000_0001 | 0);
    expect(pci.memory.cpuRead(BAR.A + 4, 4)).toEqual(Uint8Array.of(1, 0, 0, 0x80));
    expect(() => dma.store(BAR.A + 2, 1)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(() => dma.load(BAR.A + 1)).toThrow(/not a multiple of 4/u);
    expect(() => dma.load(0x3f_0000_0000)).toThrow(/aer-ur/u);
    expect(() => dma.store(0x3f_0000_0000, 1)).toThrow(/aer-ur/u);
  });
});

describe('posted writes', () => {
  test('arrive in order, and before whatever follows them: a read, a write, an interrupt', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false, checks: false });
    const { dma } = pci.function(NODE.B);
    const seen = (offset: number): number => pci.memory.cpuRead(BAR.A + offset, 1)[0]!;
    const bytes = word(1);
    dma.post(BAR.A, bytes);
    bytes[0] = 9;
    dma.post(BAR.A, word(2));
    dma.post(BAR.A + 8, word(3));
    expect([dma.posted.pending, seen(0), seen(8)]).toEqual([3, 0, 0]);
    dma.load(BAR.B);
    expect([dma.posted.pending, seen(0), seen(8)]).toEqual([0, 2, 3]);
    dma.post(BAR.A, word(4));
    dma.store(BAR.A + 8, seen(0));
    expect([seen(0), seen(8)]).toEqual([4, 2]);
    const order: number[] = [];
    pci.interrupts.deliver = () => order.push(seen(0)) > 0;
    dma.post(BAR.A, word(5));
    dma.store(MESSAGE_WINDOW.start, 0x41);
    expect(order).toEqual([5]);
    dma.post(BAR.A, word(6));
    expect(dma.posted.flush()).toBe(4);
    expect(seen(0)).toBe(6);
  });

  test('an interrupt may be posted too: it comes after the data', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false, checks: false });
    const { dma } = pci.function(NODE.B);
    const order: number[] = [];
    pci.interrupts.deliver = () => order.push(pci.memory.cpuRead(BAR.A, 1)[0]!) > 0;
    dma.post(BAR.A, word(7));
    dma.post(MESSAGE_WINDOW.start, word(0x41));
    expect(order).toEqual([]);
    dma.posted.flush();
    expect(order).toEqual([7]);
  });

  test('packets with relaxed ordering overtake them, and their reads do not push', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false, checks: false });
    const { dma } = pci.function(NODE.B);
    const relaxed = dma.as({ relaxedOrdering: true });
    dma.post(BAR.A, word(1));
    relaxed.post(BAR.A + 8, word(2));
    expect([dma.load(BAR.A + 8), 0]).toEqual([2, 0]);
    dma.post(BAR.A, word(3));
    relaxed.post(BAR.A + 8, word(4));
    expect([relaxed.load(BAR.A + 8), relaxed.load(BAR.A)]).toEqual([4, 1]);
    expect(dma.posted.pending).toBe(1);
    expect(dma.load(BAR.A)).toBe(3);
  });

  test('arrive when there are too many', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false, checks: false });
    const { dma } = pci.function(NODE.B);
    for (let i = 0; i < 64; i++) dma.post(BAR.A + 4 * (i % 2), word(i));
    expect([dma.posted.pending, dma.as({ relaxedOrdering: true }).load(BAR.A)]).toEqual([64, 0]);
    dma.post(BAR.A, word(64));
    expect(dma.posted.pending).toBe(0);
    expect(pci.memory.cpuRead(BAR.A, 5)).toEqual(Uint8Array.of(64, 0, 0, 0, 63));
  });

  test('a fault is only in the log, as hardware has it', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    const { dma } = pci.function(NODE.B);
    dma.post(0x3f_0000_0000, word(1));
    expect(pci.faults.count()).toBe(0);
    expect(dma.posted.flush()).toBe(0);
    expect(pci.faults.count('aer-ur')).toBe(1);
  });
});
