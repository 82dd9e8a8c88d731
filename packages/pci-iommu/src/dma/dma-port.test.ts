import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { PowerState } from '../config-space/index.ts';
import { IommuProt, IotlbGather } from '../iommu/index.ts';
import { BAR, NODE, testSystem } from '../system/test-system.ts';
import { DmaFault } from './fault-record.ts';

const RW = IommuProt.READ | IommuProt.WRITE;
const bytes = (length: number, seed = 1): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff);

describe('DMA to RAM', () => {
  test('goes through the page tables of the requester', () => {
    using machine = testMachine();
    const pci = testSystem(machine);
    const nic = pci.function(NODE.B);
    const page = pci.memory.allocPages(3);
    const iova = nic.iommu.iovaAlloc(3 * 4096);
    nic.iommu.map(iova, page, 3 * 4096, RW);
    nic.dma.write(iova + 100, bytes(9000));
    expect(pci.memory.cpuRead(page + 100, 9000)).toEqual(bytes(9000));
    expect(nic.dma.read(iova + 100, 9000)).toEqual(bytes(9000));
    nic.dma.fill(iova, 0x11, 50);
    nic.dma.copy(iova + 8192, iova, 100);
    expect(pci.memory.cpuRead(page + 8192, 51)).toEqual(Uint8Array.from({ length: 51 }, (_, i) => (i < 50 ? 0x11 : 0)));
    expect(pci.faults.count()).toBe(0);
    nic.iommu.unmap(iova, 3 * 4096);
    nic.iommu.iovaFree(iova, 3 * 4096);
    pci.memory.freePages(page, 3);
  });

  test('pages in any order are gathered', () => {
    using machine = testMachine();
    const pci = testSystem(machine);
    const nic = pci.function(NODE.C);
    const page = pci.memory.allocPages(8);
    for (let i = 0; i < 8; i++) nic.iommu.map(0x10_0000 + i * 4096, page + ((i * 5) % 8) * 4096, 4096, RW);
    nic.dma.write(0x10_0000 + 10, bytes(30_000));
    expect(nic.dma.read(0x10_0000 + 10, 30_000)).toEqual(bytes(30_000));
    const buffer = machine.root('test.buffer', 8192) * 4;
    nic.dma.readInto(0x10_0000 + 10, buffer, 30_000);
    expect(machine.mem.read(buffer, 30_000)).toEqual(bytes(30_000));
    nic.dma.writeFrom(0x10_0000, buffer + 5, 20_000);
    expect(nic.dma.read(0x10_0000, 20_000)).toEqual(bytes(30_000).slice(5, 20_005));
    nic.iommu.unmap(0x10_0000, 8 * 4096);
    pci.memory.freePages(page, 8);
  });

  test('without an IOMMU addresses are physical', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    const page = pci.memory.allocPages(1);
    pci.function(NODE.B).dma.write(page, bytes(64));
    expect(pci.memory.cpuRead(page, 64)).toEqual(bytes(64));
    pci.memory.freePages(page, 1);
  });

  test('larger than one piece', () => {
    using machine = testMachine({ memoryBytes: 32 << 20 });
    const pci = testSystem(machine, { iommu: false });
    const pages = (9 << 20) / 4096;
    const at = pci.memory.allocPages(pages);
    const { dma } = pci.function(NODE.B);
    expect(dma.writePattern(at + 8, (9 << 20) - 8, { owner: 1, epoch: 2, offset: 8 })).toBe((9 << 20) - 8);
    expect(dma.checkPattern(at, 9 << 20, { owner: 1, epoch: 2, offset: 0 })).toMatchObject({
      problem: 'garbage',
      offset: 0,
    });
    expect(dma.checkPattern(at + 8, (9 << 20) - 8, { owner: 1, epoch: 2, offset: 8 })).toBeNull();
    pci.memory.freePages(at, pages);
  });
});

describe('DMA to a peer', () => {
  test('goes by bus address below a switch that does not redirect, past IOMMU and IOTLB', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false, busOffset: -0x8_0000_0000 });
    const [a, b] = [pci.function(NODE.A0), pci.function(NODE.B)];
    const { busAddress, start } = a.bar(0)!;
    expect(busAddress).toBe(start - 0x8_0000_0000);
    b.dma.write(busAddress + 4096, bytes(5000));
    expect(pci.memory.cpuRead(start + 4096, 5000)).toEqual(bytes(5000));
    expect(b.iommu.type).toBe('identity');
  });

  test('a bus address on a redirecting path ends at the IOMMU', () => {
    using machine = testMachine();
    const pci = testSystem(machine);
    const b = pci.function(NODE.B);
    expect(() => b.dma.write(BAR.A, bytes(4))).toThrow(DmaFault);
    expect(pci.faults.list()).toMatchObject([
      { kind: 'iommu-fault', requester: b.index, address: BAR.A, length: 4, write: true, reason: 'not mapped' },
    ]);
  });

  test('ACS is honoured as it is at the moment', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    const b = pci.function(NODE.B);
    const table = pci.router.tableOf(b.topology);
    pci.function(NODE.D1).config.acsControl = 0x04;
    expect(pci.router.tableOf(b.topology)).not.toBe(table);
    b.dma.write(BAR.A, bytes(4));
    b.block();
    expect(b.dma.tryWrite(BAR.A, bytes(4))).toBe(0);
    expect(b.dma.fault?.reason).toBe('blocked domain');
    pci.function(NODE.D1).config.acsControl = 0;
    expect(b.dma.tryWrite(BAR.A, bytes(4))).toBe(4);
  });

  test('through the root complex it is translated to the BAR', () => {
    using machine = testMachine();
    const pci = testSystem(machine);
    const c = pci.function(NODE.C);
    c.iommu.map(0x20_0000, BAR.A + 0x5000, 8192, RW);
    c.dma.write(0x20_0000, bytes(8192));
    expect(pci.memory.cpuRead(BAR.A + 0x5000, 8192)).toEqual(bytes(8192));
    c.iommu.unmap(0x20_0000, 8192);
  });

  test('moves data from peer to peer', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    pci.memory.cpuWrite(BAR.A + 100, bytes(10_000));
    expect(pci.function(NODE.B).dma.copy(BAR.B + 7, BAR.A + 100, 10_000)).toBe(10_000);
    expect(pci.memory.cpuRead(BAR.B + 7, 10_000)).toEqual(bytes(10_000));
  });
});

describe('faults', () => {
  test('an access that begins well moves what is before the fault; the rest of a read is ones', () => {
    using machine = testMachine();
    const pci = testSystem(machine);
    const nic = pci.function(NODE.B);
    const page = pci.memory.allocPages(1);
    nic.iommu.map(0x10_0000, page, 4096, RW);
    pci.memory.cpuFill(page, 0x22, 4096);
    const into = new Uint8Array(8192);
    expect(nic.dma.tryReadInto(0x10_0000, into)).toBe(4096);
    expect(into.indexOf(0xff)).toBe(4096);
    expect(into.lastIndexOf(0x22)).toBe(4095);
    expect(nic.dma.fault).toMatchObject({ kind: 'iommu-fault', address: 0x10_1000, length: 4096, write: false });
    expect(nic.dma.tryWrite(0x10_0000 + 4000, bytes(200))).toBe(96);
    expect(() => nic.dma.copy(0x10_0000, 0x10_0800, 4096)).toThrow(
      expect.objectContaining({ code: 'EIO', moved: 2048 }),
    );
    nic.iommu.unmap(0x10_0000, 4096);
    pci.memory.freePages(page, 1);
  });

  test.each([
    ['a write to a read-only page', IommuProt.READ, true],
    ['a read of a write-only page', IommuProt.WRITE, false],
  ])('%s is an IOMMU fault', (_name, prot, write) => {
    using machine = testMachine();
    const pci = testSystem(machine);
    const nic = pci.function(NODE.B);
    nic.iommu.map(0x10_0000, BAR.C, 4096, prot);
    expect(() => (write ? nic.dma.write(0x10_0000, bytes(1)) : nic.dma.read(0x10_0000, 1))).toThrow(
      /iommu-fault.*permission/u,
    );
    nic.iommu.unmap(0x10_0000, 4096);
  });

  test('a blocked device reaches nothing', () => {
    using machine = testMachine();
    const pci = testSystem(machine);
    const nic = pci.function(NODE.B);
    nic.block();
    expect(() => nic.dma.read(0x1000, 8)).toThrow(/blocked domain/u);
    nic.attachDomain(null);
    expect(nic.iommu.type).toBe('dma');
  });

  test.each([
    ['memory off', 'aer-ur', 0x0010_0000, 'target does not decode memory'],
    ['D3hot', 'aer-ur', 0x0010_0000, 'target does not decode memory'],
    ['moved BAR', 'aer-ur', 0x0010_0000, 'BAR was moved'],
    ['reset', 'aer-cto', 0x4000, 'target is in reset'],
    ['removed', 'aer-cto', 0x4000, 'target is gone'],
  ] as const)('a target with %s answers %s', (what, kind, aer, reason) => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    const [a, b] = [pci.function(NODE.A0), pci.function(NODE.B)];
    if (what === 'memory off') a.config.command = 4;
    if (what === 'D3hot') a.config.powerState = PowerState.D3hot;
    if (what === 'moved BAR') a.config.write(0x14, 4, 0x77);
    if (what === 'reset') a.reset.begin();
    if (what === 'removed') a.surpriseRemove();
    const into = new Uint8Array(16);
    expect(b.dma.tryReadInto(BAR.A, into)).toBe(0);
    expect(into.every((byte) => byte === 0xff)).toBe(true);
    expect(b.dma.tryWrite(BAR.A, bytes(16))).toBe(0);
    expect(pci.faults.list()).toMatchObject([
      { kind, reason, target: a.index, bar: 0, write: false },
      { kind, reason, target: a.index, bar: 0, write: true },
    ]);
    expect((kind === 'aer-cto' ? b : a).config.aerStatus).toBe(aer);
    expect(pci.memory.cpuRead(BAR.A, 16)).toEqual(new Uint8Array(16));
  });

  test('a requester that is not bus master, in reset or in low power does no DMA', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    const b = pci.function(NODE.B);
    b.config.busMaster = false;
    expect(() => b.dma.read(0x1000, 4)).toThrow(/bus master is off/u);
    b.config.busMaster = true;
    b.config.powerState = PowerState.D3hot;
    expect(b.dma.tryReadInto(0x1000, new Uint8Array(4))).toBe(0);
    b.config.powerState = PowerState.D0;
    b.reset.begin();
    expect(b.dma.tryReadInto(0x1000, new Uint8Array(4))).toBe(0);
    b.reset.end();
    expect(pci.faults.count('aer-ur')).toBe(3);
  });

  test('nothing behind an address', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    const b = pci.function(NODE.B);
    expect(() => b.dma.write(0x3f_0000_0000, bytes(1))).toThrow(/nothing at this physical address/u);
    expect(() => b.dma.write(-4096, bytes(1))).toThrow(/not an address/u);
    expect(() => b.dma.write(2 ** 53 - 1, bytes(2))).toThrow(/not an address/u);
  });

  test('the stale IOTLB entry of an unmap without sync works, and is reported', () => {
    using machine = testMachine();
    const pci = testSystem(machine);
    const nic = pci.function(NODE.B);
    const page = pci.memory.allocPages(1);
    nic.iommu.map(0x10_0000, page, 4096, RW);
    nic.dma.write(0x10_0000, bytes(16));
    const gather = new IotlbGather();
    nic.iommu.unmapFast(0x10_0000, 4096, gather);
    nic.dma.write(0x10_0000, bytes(16, 9));
    expect(pci.memory.cpuRead(page, 16)).toEqual(bytes(16, 9));
    expect(pci.faults.list()).toMatchObject([
      { kind: 'stale-iotlb-hit', requester: nic.index, address: 0x10_0000, write: true },
    ]);
    nic.iommu.iotlbSync(gather);
    expect(() => nic.dma.write(0x10_0000, bytes(16))).toThrow(/not mapped/u);
    pci.memory.freePages(page, 1);
  });

  test('a write to RAM that nobody owns is reported', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    const b = pci.function(NODE.B);
    const page = pci.memory.allocPages(1);
    b.dma.write(page, bytes(4096));
    expect(pci.faults.count('foreign-write')).toBe(0);
    pci.memory.freePages(page, 1);
    expect(b.dma.write(page, bytes(4096))).toBe(4096);
    expect(pci.faults.list()).toMatchObject([{ kind: 'foreign-write', address: page }]);
  });

  test('checks can be switched off', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false, checks: false });
    pci.function(NODE.B).dma.write(0x9000, bytes(4));
    expect(pci.faults.count()).toBe(0);
  });

  test('the log keeps the newest records and counts all', () => {
    using machine = testMachine();
    const pci = testSystem(machine);
    const { dma } = pci.function(NODE.B);
    for (let i = 0; i < 1030; i++) dma.tryReadInto(i * 4096, new Uint8Array(1));
    expect(pci.faults.count('iommu-fault')).toBe(1030);
    expect(pci.faults.counts()).toEqual({ 'iommu-fault': 1030 });
    expect(pci.faults.lost).toBe(6);
    expect(pci.faults.list()).toHaveLength(1024);
    expect(pci.faults.list()[0]).toMatchObject({ seq: 6, address: 6 * 4096 });
    pci.faults.clear();
    expect([pci.faults.count(), pci.faults.list(), pci.faults.lost]).toEqual([0, [], 0]);
  });
});
