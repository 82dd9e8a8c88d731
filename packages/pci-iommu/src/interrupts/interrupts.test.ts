import { EventFd } from '@dmabuf-emu/core';
import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { CapId, MSIX_FLAGS, MsixFlag, PciCommand, Reg } from '../config-space/index.ts';
import { PciSystem } from '../system/pci-system.ts';
import type { EngineJob } from './interrupts.test-worker.ts';
import { MESSAGE_WINDOW, messageOf } from './index.ts';
import { interruptSystem, NIC, PEER, PENDING, TABLE } from './test-interrupts.ts';

const worker = new URL(import.meta.resolve('#dist/interrupts/interrupts.test-worker.js'));
const KINDS = ['msi', 'msix'] as const;
const SOON = { timeoutMs: 5000 };
const NOW = { timeoutMs: 0 };

function failing(code: string): unknown {
  return expect.objectContaining({ name: 'KernelError', code });
}

describe.each(KINDS)('%s', (kind) => {
  test('each vector reaches who waits for it, once an interrupt', () => {
    using machine = testMachine();
    const { interrupts } = interruptSystem(machine).function(NIC);
    interrupts.enable(kind, 5);
    expect([interrupts.kind, interrupts.vectors, interrupts.source.kind]).toEqual([kind, 5, kind]);
    for (const vector of [4, 0, 4]) expect(interrupts.trigger(vector)).toBe(true);
    expect([0, 1, 4].map((vector) => interrupts.received(vector))).toEqual([1, 0, 2]);
    expect([4, 4, 4, 0, 1].map((vector) => interrupts.wait(vector, NOW))).toEqual([true, true, false, true, false]);
    interrupts.disable();
    expect(interrupts.kind).toBe('none');
  });

  test('a masked vector is pending until it is unmasked', () => {
    using machine = testMachine();
    const { interrupts } = interruptSystem(machine).function(NIC);
    interrupts.enable(kind, 4);
    interrupts.mask(3);
    expect([interrupts.trigger(3), interrupts.trigger(3), interrupts.isPending(3)]).toEqual([false, false, true]);
    expect(interrupts.trigger(2)).toBe(true);
    expect(interrupts.received(3)).toBe(0);
    interrupts.unmask(3);
    expect([interrupts.received(3), interrupts.isPending(3)]).toEqual([1, false]);
    interrupts.unmask(3);
    expect(interrupts.received(3)).toBe(1);
    interrupts.disable();
  });

  test('messages need bus mastering', () => {
    using machine = testMachine();
    const nic = interruptSystem(machine).function(NIC);
    nic.interrupts.enable(kind, 1);
    nic.config.busMaster = false;
    expect(nic.interrupts.trigger(0)).toBe(false);
    nic.config.busMaster = true;
    expect(nic.interrupts.trigger(0)).toBe(true);
    expect(nic.interrupts.received(0)).toBe(1);
    nic.interrupts.disable();
  });

  test('errors of enabling', () => {
    using machine = testMachine();
    const pci = interruptSystem(machine);
    const { interrupts } = pci.function(NIC);
    expect(() => interrupts.enable(kind, interrupts.count(kind) + 1)).toThrow(failing('ENOSPC'));
    expect(() => interrupts.enable(kind, 0)).toThrow(failing('EINVAL'));
    expect(() => pci.function(PEER).interrupts.enable(kind, 1)).toThrow(failing('EINVAL'));
    interrupts.enable(kind, 2);
    expect(() => interrupts.enable(kind, 1)).toThrow(failing('EINVAL'));
    expect(() => interrupts.received(2)).toThrow(failing('EINVAL'));
    expect(() => interrupts.trigger(interrupts.count(kind))).toThrow(failing('EINVAL'));
    interrupts.disable();
    interrupts.disable();
  });

  test('whichever allocation fails, nothing is left', () => {
    using machine = testMachine();
    const { interrupts } = interruptSystem(machine).function(NIC);
    for (let nth = 1; nth <= 3; nth++) {
      machine.faults.failNth(nth, { site: 'pci_alloc_irq_vectors' });
      expect(() => interrupts.enable(kind, 3)).toThrow(failing('ENOMEM'));
      expect(interrupts.kind).toBe('none');
    }
    machine.faults.off();
    interrupts.enable(kind, 3);
    interrupts.disable();
  });

  test('an eventfd counts them', () => {
    using machine = testMachine();
    const { interrupts } = interruptSystem(machine).function(NIC);
    const eventfd = EventFd.create(machine);
    interrupts.enable(kind, 2);
    interrupts.notify(1, eventfd.file);
    eventfd.file.put();
    interrupts.trigger(1);
    interrupts.trigger(1);
    expect(eventfd.read()).toBe(2n);
    interrupts.disable();
  });

  test('the kernel’s reset brings the messages back', () => {
    using machine = testMachine();
    const nic = interruptSystem(machine).function(NIC);
    nic.interrupts.enable(kind, 3);
    nic.interrupts.mask(1);
    nic.reset.reset();
    expect([0, 1, 2].map((vector) => nic.interrupts.trigger(vector))).toEqual([true, false, true]);
    nic.interrupts.unmask(1);
    expect([0, 1, 2].map((vector) => nic.interrupts.received(vector))).toEqual([1, 1, 1]);
    nic.interrupts.disable();
  });

  test('an engine in another thread: what it wrote before is there when the interrupt is', async () => {
    using machine = testMachine();
    const pci = interruptSystem(machine);
    const { interrupts } = pci.function(NIC);
    interrupts.enable(kind, 4);
    const page = pci.memory.allocPages(1);
    const job: EngineJob = { fn: NIC, vectors: 4, rounds: 50, address: page };
    const engine = startTestWorker<number>(worker, machine, job, 'engine');
    for (let round = 1; round <= 50; round++) {
      for (let vector = 0; vector < 4; vector++) {
        expect(interrupts.wait(vector, SOON)).toBe(true);
        expect(pci.memory.cpuRead(page + vector, 1)[0]).toBeGreaterThanOrEqual(round);
      }
    }
    expect(await engine.result).toBe(50);
    interrupts.disable();
    pci.memory.freePages(page, 1);
  });
});

describe('the MSI-X table is memory in the BAR', () => {
  test('reset masks every vector', () => {
    using machine = testMachine();
    const pci = interruptSystem(machine);
    const controls = Array.from({ length: 40 }, (_, i) => pci.memory.cpuRead(TABLE + 16 * i + 12, 4)[0]);
    expect(new Set(controls)).toEqual(new Set([1]));
  });

  test.each(['processor', 'peer'])('a %s that unmasks a vector there has it delivered', (who) => {
    using machine = testMachine();
    const pci = interruptSystem(machine);
    const { interrupts } = pci.function(NIC);
    interrupts.enable('msix', 40);
    const write = (at: number, value: number): void => {
      if (who === 'processor') pci.memory.cpuWrite(at, Uint8Array.of(value));
      else pci.function(PEER).dma.write(at, Uint8Array.of(value));
    };
    write(TABLE + 16 * 33 + 12, 1);
    expect(interrupts.trigger(33)).toBe(false);
    expect(pci.memory.cpuRead(PENDING, 8)).toEqual(Uint8Array.of(0, 0, 0, 0, 2, 0, 0, 0));
    expect(pci.function(PEER).dma.read(PENDING + 4, 1)[0]).toBe(2);
    write(TABLE + 16 * 33 + 12, 0);
    expect([interrupts.received(33), interrupts.isPending(33)]).toEqual([1, false]);
    interrupts.disable();
  });

  test('shows the messages that the driver wrote', () => {
    using machine = testMachine();
    const pci = interruptSystem(machine);
    const { interrupts } = pci.function(NIC);
    interrupts.enable('msix', 2);
    const entry = new DataView(pci.memory.cpuRead(TABLE, 16).buffer);
    const address = entry.getUint32(0, true);
    expect(address).toBeGreaterThanOrEqual(MESSAGE_WINDOW.start);
    expect([entry.getUint32(4, true), entry.getUint32(12, true)]).toEqual([0, 0]);
    pci.function(PEER).dma.write(address, new Uint8Array(entry.buffer, 8, 4));
    expect(interrupts.received(0)).toBe(1);
    interrupts.disable();
  });

  test('the function’s mask holds all of them back', () => {
    using machine = testMachine();
    const nic = interruptSystem(machine).function(NIC);
    nic.interrupts.enable('msix', 3);
    const flags = nic.config.findCapability(CapId.MSIX) + MSIX_FLAGS;
    nic.config.write(flags, 2, MsixFlag.ENABLE | MsixFlag.MASK_ALL);
    expect([0, 2].map((vector) => nic.interrupts.trigger(vector))).toEqual([false, false]);
    nic.config.write(flags, 2, MsixFlag.ENABLE);
    expect([0, 1, 2].map((vector) => nic.interrupts.received(vector))).toEqual([1, 0, 1]);
    nic.interrupts.disable();
  });
});

describe('messages', () => {
  test.each([1, 2, 4, 8, 16, 32])('%d vectors of MSI differ in the low bits of one message', (vectors) => {
    using machine = testMachine();
    const { interrupts } = interruptSystem(machine, { msi: { vectors, wide: true, maskable: true } }).function(NIC);
    interrupts.enable('msi', vectors);
    const all = Array.from({ length: vectors }, (_, vector) => vector);
    expect(all.every((vector) => interrupts.trigger(vector))).toBe(true);
    expect(all.map((vector) => interrupts.received(vector))).toEqual(all.map(() => 1));
    interrupts.disable();
  });

  test.each([
    ['half of one', MESSAGE_WINDOW.start, 2],
    ['two of them', MESSAGE_WINDOW.start, 8],
    ['one that is not aligned', MESSAGE_WINDOW.start + 2, 4],
  ])('%s is no interrupt', (_name, address, length) => {
    using machine = testMachine();
    const { dma } = interruptSystem(machine).function(NIC);
    expect([dma.tryWrite(address, new Uint8Array(length)), dma.fault?.kind]).toEqual([0, 'aer-ur']);
  });

  test('nobody’s is lost without a fault', () => {
    using machine = testMachine();
    const pci = interruptSystem(machine);
    const { address } = messageOf(0x1_30);
    expect(pci.function(NIC).dma.tryWrite(address, Uint8Array.of(0x30, 0, 0, 0))).toBe(4);
    expect(pci.faults.list()).toEqual([]);
  });

  test('are not translated; a blocked domain stops them; no IOVA is one', () => {
    using machine = testMachine();
    const pci = interruptSystem(machine, {}, true);
    const nic = pci.function(NIC);
    nic.interrupts.enable('msi', 1);
    expect(nic.interrupts.trigger(0)).toBe(true);
    nic.block();
    expect(nic.interrupts.trigger(0)).toBe(false);
    nic.attachDomain(null);
    const iova = nic.iommu.iovaAlloc(32 * 2 ** 20, 2 ** 32 - 1);
    expect(iova + 32 * 2 ** 20).toBeLessThanOrEqual(MESSAGE_WINDOW.start);
    nic.iommu.iovaFree(iova, 32 * 2 ** 20);
    nic.interrupts.disable();
  });

  test('a copy by the engine can be one', () => {
    using machine = testMachine();
    const pci = interruptSystem(machine);
    const nic = pci.function(NIC);
    nic.interrupts.enable('msi', 1);
    const { msi } = nic.interrupts.source;
    const page = pci.memory.allocPages(1);
    pci.memory.cpuWrite(page, Uint8Array.of(msi!.entry(0).data, 0, 0, 0));
    nic.dma.copy(msi!.entry(0).address, page, 4);
    expect(nic.interrupts.received(0)).toBe(1);
    nic.interrupts.disable();
    pci.memory.freePages(page, 1);
  });
});

describe('INTx', () => {
  test('is a level: delivered when it rises, and again when it is enabled while high', () => {
    using machine = testMachine();
    const nic = interruptSystem(machine).function(NIC);
    const { source } = nic.interrupts;
    nic.interrupts.enable('intx');
    expect([source.assertLine(), source.assertLine()]).toEqual([true, false]);
    expect(nic.config.read(Reg.STATUS, 2) & 8).toBe(8);
    nic.interrupts.mask();
    nic.interrupts.unmask();
    expect(nic.interrupts.received()).toBe(2);
    source.deassertLine();
    nic.interrupts.mask();
    expect([source.assertLine(), nic.interrupts.received(), nic.interrupts.isPending()]).toEqual([false, 2, true]);
    source.deassertLine();
    nic.interrupts.unmask();
    expect([nic.interrupts.received(), nic.config.read(Reg.STATUS, 2) & 8]).toEqual([2, 0]);
    nic.interrupts.disable();
  });

  test('is off while messages are enabled', () => {
    using machine = testMachine();
    const nic = interruptSystem(machine).function(NIC);
    nic.interrupts.enable('msi');
    expect(nic.config.command & PciCommand.INTX_DISABLE).not.toBe(0);
    nic.interrupts.disable();
    expect(nic.config.command & PciCommand.INTX_DISABLE).toBe(0);
  });
});

test('a vector that was taken back cannot be waited for', () => {
  using machine = testMachine();
  const { interrupts } = interruptSystem(machine).function(NIC);
  interrupts.enable('msi', 1);
  interrupts.trigger(0);
  expect(interrupts.wait(0, NOW)).toBe(true);
  expect(interrupts.wait(0, { timeoutMs: 1 })).toBe(false);
  interrupts.disable();
  expect(() => interrupts.wait(0, NOW)).toThrow(failing('EINVAL'));
});

test('vectors that are not given back are leaks', () => {
  const machine = testMachine();
  interruptSystem(machine).function(NIC).interrupts.enable('msix', 2);
  expect(machine.verify().leaks.filter((text) => text.includes('vector'))).toHaveLength(2);
  PciSystem.of(machine).function(NIC).interrupts.disable();
  machine[Symbol.dispose]();
});

test('a function may have 2048 vectors', () => {
  using machine = testMachine();
  const msix = { vectors: 2048, bar: 0, offset: 0, pbaBar: 0, pbaOffset: 0x8000 };
  const { interrupts } = interruptSystem(machine, { msix }).function(NIC);
  interrupts.enable('msix', 2048);
  expect(interrupts.trigger(2047)).toBe(true);
  interrupts.disable();
});
