import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { ExtCapId, PowerState } from '../config-space/index.ts';
import { IommuProt, IotlbGather } from '../iommu/index.ts';
import { exportRanges } from '../mapping/test-exporter.ts';
import type { PciFunction } from '../system/index.ts';
import { BAR, NODE, testSystem } from '../system/test-system.ts';
import { headerWords } from './packet-header.ts';

const RW = IommuProt.READ | IommuProt.WRITE;
const BYTES = Uint8Array.of(1, 2, 3, 4);
const UR = 0x0010_0000;
const TIMEOUT = 0x4000;

function readsOnes(client: PciFunction, address: number): void {
  const into = new Uint8Array(16);
  expect(client.dma.tryReadInto(address, into)).toBe(0);
  expect(into.every((byte) => byte === 0xff)).toBe(true);
}

// drivers §3.5
describe('what a stray access does', () => {
  test.each([
    ['not mapped', 0, 'not mapped'],
    ['of the wrong permission', IommuProt.READ, 'permission'],
  ])('an IOVA that is %s: the IOMMU refuses, no data moves', (_name, prot, reason) => {
    using machine = testMachine();
    const pci = testSystem(machine);
    const c = pci.function(NODE.C);
    if (prot !== 0) c.iommu.map(0x10_0000, BAR.A, 4096, prot);
    expect(c.dma.tryWrite(0x10_0000, BYTES)).toBe(0);
    expect(pci.faults.list()).toMatchObject([
      { kind: 'iommu-fault', requester: c.index, address: 0x10_0000, write: true, reason },
    ]);
    expect(pci.memory.cpuRead(BAR.A, 4)).toEqual(new Uint8Array(4));
    expect([c, pci.function(NODE.A0)].map(({ config }) => config.aerStatus)).toEqual([0, 0]);
    if (prot !== 0) c.iommu.unmap(0x10_0000, 4096);
  });

  test('a blocked device: the same, wherever it goes', () => {
    using machine = testMachine();
    const pci = testSystem(machine);
    const c = pci.function(NODE.C);
    c.block();
    readsOnes(c, 0x10_0000);
    expect(c.dma.tryWrite(0xffff_0000, BYTES)).toBe(0);
    expect(pci.faults.counts()).toEqual({ 'iommu-fault': 2 });
  });

  test('a translation that is only in the IOTLB any more: the access goes to the old place, and is noticed', () => {
    using machine = testMachine();
    const pci = testSystem(machine);
    const c = pci.function(NODE.C);
    const page = pci.memory.allocPages(1);
    c.iommu.map(0x10_0000, page, 4096, RW);
    c.dma.write(0x10_0000, BYTES);
    const gather = new IotlbGather();
    c.iommu.unmapFast(0x10_0000, 4096, gather);
    expect(c.dma.tryWrite(0x10_0000, BYTES.toReversed())).toBe(4);
    expect(pci.memory.cpuRead(page, 4)).toEqual(BYTES.toReversed());
    expect(pci.faults.counts()).toEqual({ 'stale-iotlb-hit': 1 });
    c.iommu.iotlbSync(gather);
    pci.memory.freePages(page, 1);
  });

  test.each([
    ['a bus address', NODE.B],
    ['a physical address', NODE.C],
  ])('%s after unmap: the access goes through, and is noticed', (_name, node) => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    const client = pci.function(node);
    const buffer = exportRanges(pci, pci.function(NODE.A0), 0, [{ paddr: BAR.A, len: 4096 }]);
    const address = buffer.mapped(client, (sgt) => sgt.address(0));
    expect(pci.faults.count()).toBe(0);
    expect(client.dma.tryWrite(address, BYTES)).toBe(4);
    expect(pci.memory.cpuRead(BAR.A, 4)).toEqual(BYTES);
    expect(pci.faults.list()).toMatchObject([
      { kind: 'use-after-revoke', target: pci.function(NODE.A0).index, bar: 0 },
    ]);
    buffer.release();
  });

  test.each(['memory disabled', 'D3hot'])('a target with %s: unsupported request, noted by the target', (what) => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    const [a, b] = [pci.function(NODE.A0), pci.function(NODE.B)];
    if (what === 'D3hot') a.config.powerState = PowerState.D3hot;
    else a.config.command &= ~2;
    readsOnes(b, BAR.A);
    expect(b.dma.tryWrite(BAR.A, BYTES)).toBe(0);
    expect(pci.faults.counts()).toEqual({ 'aer-ur': 2 });
    expect([a.config.aerStatus, b.config.aerStatus]).toEqual([UR, 0]);
    expect(pci.memory.cpuRead(BAR.A, 4)).toEqual(new Uint8Array(4));
  });

  test('a target in reset: reads time out at the requester, writes are lost and nobody notes them', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    const [a, b] = [pci.function(NODE.A0), pci.function(NODE.B)];
    a.reset.begin();
    expect(b.dma.tryWrite(BAR.A, BYTES)).toBe(0);
    expect(b.config.aerStatus).toBe(0);
    readsOnes(b, BAR.A);
    a.reset.end();
    expect(pci.faults.counts()).toEqual({ 'aer-cto': 2 });
    expect([a.config.aerStatus, b.config.aerStatus]).toEqual([0, TIMEOUT]);
    expect(pci.memory.cpuRead(BAR.A, 4)).toEqual(new Uint8Array(4));
  });

  test('memory that is somebody else’s by now: the write goes through, and is noticed', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    const b = pci.function(NODE.B);
    const page = pci.memory.allocPages(1);
    pci.memory.freePages(page, 1);
    expect(b.dma.tryWrite(page, BYTES)).toBe(4);
    expect(pci.faults.list()).toMatchObject([{ kind: 'foreign-write', address: page }]);
  });

  test('nobody at the address: the root port notes it', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    readsOnes(pci.function(NODE.B), 0x3f_0000_0000);
    expect(pci.function(NODE.RP0).config.aerStatus).toBe(UR);
    expect(pci.function(NODE.B).config.aerStatus).toBe(0);
  });
});

describe('what error reporting keeps', () => {
  test.each([
    [{ write: false, requesterId: 0x0400, address: 0x1000, length: 128 }, [0x0000_0020, 0x0400_00ff, 0x1000, 0]],
    [{ write: true, requesterId: 0x0401, address: 0x1001, length: 1 }, [0x4000_0001, 0x0401_0002, 0x1000, 0]],
    [{ write: true, requesterId: 1, address: 0x10_0000_0003, length: 3 }, [0x6000_0002, 0x0001_0038, 0x10, 0]],
  ])('the header of %o', (packet, words) => {
    expect(headerWords(packet)).toEqual(words);
  });

  test('the first error and its packet, until software clears it', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    const [a, b] = [pci.function(NODE.A0), pci.function(NODE.B)];
    a.config.command &= ~2;
    const aer = a.config.extCapabilityAt(ExtCapId.AER);
    const kept = (): readonly number[] => [
      a.config.read(aer + 0x18, 4) & 0x1f,
      ...[0x1c, 0x20, 0x24, 0x28].map((offset) => a.config.read(aer + offset, 4)),
    ];
    b.dma.tryWrite(BAR.A + 0x100, BYTES);
    const first = headerWords({ write: true, requesterId: b.topology.requesterId, address: BAR.A + 0x100, length: 4 });
    expect(kept()).toEqual([20, ...first]);
    b.dma.tryReadInto(BAR.A + 0x200, new Uint8Array(8));
    expect(kept()).toEqual([20, ...first]);
    a.config.write(aer + 4, 4, UR);
    b.dma.tryReadInto(BAR.A + 0x200, new Uint8Array(8));
    expect(kept().slice(1)).toEqual([
      ...headerWords({ write: false, requesterId: b.topology.requesterId, address: BAR.A + 0x200, length: 8 }),
    ]);
  });

  test('platforms that make errors fatal stop the machine', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false, fatalErrors: true });
    pci.function(NODE.A0).config.command &= ~2;
    machine.diag.expect('bug', 'machine-check');
    expect(() => pci.function(NODE.B).dma.tryWrite(BAR.A, BYTES)).toThrow(/machine-check|uncorrectable error/u);
    expect(pci.faults.count('aer-ur')).toBe(1);
  });
});
