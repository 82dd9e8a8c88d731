import { Device } from '@dmabuf-emu/core';
import { Machine, setSyncHook, UsageError } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { resetTogether } from '../config-space/index.ts';
import { IommuProt } from '../iommu/index.ts';
import { exportRanges } from '../mapping/test-exporter.ts';
import { TopologyError } from '../topology/index.ts';
import { PciSystem } from './pci-system.ts';
import { BAR, NODE, smallTopology, testSystem } from './test-system.ts';

describe('PciSystem', () => {
  test('is made once and found by every thread', () => {
    using machine = testMachine();
    expect(() => PciSystem.of(machine)).toThrow(UsageError);
    const pci = testSystem(machine);
    expect(PciSystem.of(machine)).toBe(pci);
    expect(() => testSystem(machine)).toThrow(UsageError);
    using other = Machine.join(machine.handle);
    const twin = PciSystem.of(other);
    expect(twin).not.toBe(pci);
    expect(twin.functions.map((fn) => fn.bdf)).toEqual(pci.functions.map((fn) => fn.bdf));
    twin.function(NODE.B).config.command = 2;
    expect(pci.function(NODE.B).config.command).toBe(2);
  });

  test.each([
    ['genoa-4gpu', true],
    ['wrx80-2gpu', false],
    ['aurora-8ve', true],
    ['microtca-2switch', true],
  ])('stands on the machine %s', (name, iommu) => {
    using machine = testMachine();
    const pci = PciSystem.create(machine, { topology: name, iommu });
    const [first] = pci.topology.memoryBars;
    expect(pci.functions[first!.fn.index]!.bar(first!.bar.index)).toMatchObject({
      start: first!.bar.start,
      isMemory: true,
    });
    expect(machine.verify().ok).toBe(true);
  });

  test('an unknown machine or function is named', () => {
    using machine = testMachine();
    expect(() => PciSystem.create(machine, { topology: 'nowhere' })).toThrow(TopologyError);
    const pci = testSystem(machine);
    expect(() => pci.function('0000:99:00.0')).toThrow(/no function 0000:99:00.0/u);
  });

  test('with an IOMMU ports are set up for isolation, without it they are left alone', () => {
    for (const iommu of [true, false]) {
      using machine = testMachine();
      const pci = testSystem(machine, { iommu });
      expect(pci.function(NODE.D1).acs).toEqual({ cap: 0x5f, ctrl: iommu ? 0x1d : 0 });
      expect(pci.function(NODE.B).acs).toBeNull();
      expect(pci.function(NODE.B).iommu.type).toBe(iommu ? 'dma' : 'identity');
    }
  });

  test('pci=disable_acs_redir is honoured', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { disableAcsRedir: [NODE.D1] });
    expect(pci.function(NODE.D1).acs?.ctrl).toBe(0x11);
  });

  test('functions are devices', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { dmaMask: 2 ** 40 - 1, untrusted: [NODE.C] });
    const device = Device.byName(machine, NODE.B)!;
    expect(pci.functionOfDevice(device)).toBe(pci.function(NODE.B));
    expect(pci.function(NODE.B).device.ref).toBe(device.ref);
    expect(device.dmaMask).toBe(2 ** 40 - 1);
    expect(pci.functionOfDevice(Device.register(machine, { name: 'soc', kind: 'platform' }))).toBeNull();
    expect([pci.function(NODE.B).untrusted, pci.function(NODE.C).untrusted]).toEqual([false, true]);
  });

  test('every function is enabled unless the description is to be taken at its word', () => {
    const topology = smallTopology();
    const functions = topology.functions.map((fn) => (fn.bdf === NODE.B ? { ...fn, command: 0 } : fn));
    for (const commandAsDescribed of [false, true]) {
      using machine = testMachine();
      const pci = PciSystem.create(machine, { topology: { ...topology, functions }, commandAsDescribed });
      expect(pci.function(NODE.B).config.command).toBe(commandAsDescribed ? 0 : 6);
    }
  });

  test('IOVAs never equal a bus address below the host bridge, or one of an interrupt', () => {
    using machine = testMachine();
    const pci = testSystem(machine);
    const { iommu } = pci.function(NODE.B);
    expect(iommu.iovaAlloc(0x0100_0000, 2 ** 32 - 1)).toBe(0xff00_0000);
    expect(iommu.iovaAlloc(0x0100_0000, 2 ** 32 - 1)).toBe(0xfd00_0000);
    expect(iommu.iovaAlloc(0x4000_0000, 2 ** 32 - 1)).toBe(0x4000_0000);
    const wide = iommu.iovaAlloc(2 ** 37, 2 ** 38 - 1);
    expect(wide).toBe(2 ** 37);
    expect(iommu.iovaAlloc(2 ** 36, 2 ** 37 - 1)).toBe(0);
    for (const [iova, size] of [
      [0xff00_0000, 0x0100_0000],
      [0xfd00_0000, 0x0100_0000],
      [0x4000_0000, 0x4000_0000],
      [wide, 2 ** 37],
    ] as const)
      iommu.iovaFree(iova, size);
  });

  test('a function without FLR that is alone on its bus can be reset by the bus', () => {
    const topology = smallTopology();
    const functions = topology.functions.map((fn) => ({ ...fn, flr: false }));
    using machine = testMachine();
    const pci = PciSystem.create(machine, { topology: { ...topology, functions } });
    expect(pci.function(NODE.B).reset.methods).toEqual(['bus']);
    expect(pci.function(NODE.A0).reset.methods).toEqual([]);
  });
});

test('functions of one device are reset together, and come back as they were', () => {
  using machine = testMachine();
  const pci = testSystem(machine, { iommu: false });
  const [a0, a1, b] = [NODE.A0, NODE.A1, NODE.B].map((bdf) => pci.function(bdf));
  const seen: string[] = [];
  const former = setSyncHook((label) => {
    if (label !== 'pci.bus-reset') return;
    seen.push(`${a0!.config.inReset} ${a1!.config.inReset} ${b!.config.inReset}`);
    b!.dma.tryReadInto(BAR.A, new Uint8Array(1));
    seen.push(b!.dma.fault?.reason ?? '');
  });
  resetTogether([a0!.reset, a1!.reset]);
  setSyncHook(former);
  expect(seen).toEqual(['true true false', 'target is in reset']);
  expect([a0!.config.command, a0!.config.memoryEnabled, a0!.reset.count, b!.reset.count]).toEqual([6, true, 1, 0]);
  expect(b!.dma.tryReadInto(BAR.A, new Uint8Array(1))).toBe(1);
});

test('the pattern behind a physical range can be checked without a device', () => {
  using machine = testMachine();
  const pci = testSystem(machine, { iommu: false });
  const stamp = { owner: 1, epoch: 2, offset: 0 };
  pci.function(NODE.B).dma.writePattern(BAR.A, 8192, stamp);
  expect(pci.patternAt(BAR.A, 8192, stamp)).toBeNull();
  expect(pci.patternAt(BAR.A, 8192, { ...stamp, epoch: 3 })).toMatchObject({ problem: 'lost', offset: 8 });
  expect(() => pci.patternAt(0x70_0000_0000, 1, stamp)).toThrow(expect.objectContaining({ code: 'EFAULT' }));
});

describe('domains', () => {
  test("a function can be lent to a domain of one's own and comes back", () => {
    using machine = testMachine();
    const pci = testSystem(machine);
    const c = pci.function(NODE.C);
    const domain = pci.createDomain();
    domain.map(0x1000, BAR.A, 4096, IommuProt.WRITE);
    c.attachDomain(domain);
    expect(c.iommu).toMatchObject({ ref: domain.ref, type: 'unmanaged', devices: 1 });
    c.dma.write(0x1000, Uint8Array.of(7));
    expect(pci.memory.cpuRead(BAR.A, 1)).toEqual(Uint8Array.of(7));
    c.attachDomain(null);
    expect(domain.devices).toBe(0);
    expect(c.iommu.type).toBe('dma');
    expect(c.dma.tryWrite(0x1000, Uint8Array.of(7))).toBe(0);
    domain.unmap(0x1000, 4096);
    domain.destroy();
  });

  test('isolation ends a device for everybody', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    const [a, b] = [pci.function(NODE.A0), pci.function(NODE.B)];
    using other = Machine.join(machine.handle);
    PciSystem.of(other).isolate(PciSystem.of(other).function(NODE.A0));
    expect(a.alive).toBe(false);
    expect(a.iommu.type).toBe('blocked');
    expect(a.dma.tryReadInto(0x1000, new Uint8Array(1))).toBe(0);
    expect(b.dma.tryReadInto(BAR.A, new Uint8Array(1))).toBe(0);
    expect(b.dma.fault).toMatchObject({ kind: 'aer-cto', reason: 'target is gone' });
    expect(a.config.read(0, 2)).toBe(0xffff);
  });
});

describe('verify', () => {
  /** Leaks of `make`, which is then undone. */
  function leaksOf(make: (pci: PciSystem) => () => void): readonly string[] {
    using machine = testMachine();
    const pci = testSystem(machine);
    const undo = make(pci);
    const { leaks, errors } = machine.verify();
    expect(errors).toEqual([]);
    undo();
    expect(machine.verify().leaks).toEqual([]);
    return leaks;
  }

  test('names what is still mapped, allocated or granted', () => {
    const iova = leaksOf((pci) => {
      const { iommu } = pci.function(NODE.B);
      const at = iommu.iovaAlloc(12_288);
      iommu.map(at, BAR.A, 8192, IommuProt.READ);
      return () => {
        iommu.unmap(at, 8192);
        iommu.iovaFree(at, 12_288);
      };
    });
    expect(iova).toEqual([
      `iommu-mapping: 2 pages are mapped in the domain of ${NODE.B}`,
      `iova: 4 pages of IOVAs of the domain of ${NODE.B} were not given back`,
    ]);
    const ram = leaksOf((pci) => {
      const at = pci.memory.allocPages(5);
      return () => pci.memory.freePages(at, 5);
    });
    expect(ram).toEqual(['ram: 5 pages of RAM were not freed: 0x1000, 0x2000, 0x3000, 0x4000, ...']);
    const domain = leaksOf((pci) => {
      const made = pci.createDomain();
      return () => made.destroy();
    });
    expect(domain).toEqual([expect.stringMatching(/^iommu-domain: unmanaged domain \d+ was not destroyed$/u)]);
    const mapping = leaksOf((pci) => {
      const buffer = exportRanges(pci, pci.function(NODE.A0), 0, [{ paddr: BAR.A, len: 4096 }]);
      const attachment = buffer.attach(pci.function(NODE.C));
      const sgt = buffer.map(attachment);
      return () => {
        buffer.unmap(attachment, sgt);
        buffer.release(attachment);
      };
    });
    expect(mapping).toContain(`dma-mapping: test-ranges#1 is still mapped by static for ${NODE.C} at 0xfffff000`);
  });

  test('what a dead task left is damage; its recycled IOVAs come back', () => {
    using machine = testMachine();
    const pci = testSystem(machine);
    const dead = Machine.join(machine.handle, { name: 'engine' });
    const twin = PciSystem.of(dead).function(NODE.B);
    const kept = twin.iommu.iovaAlloc(4096);
    const recycled = twin.iommu.iovaAlloc(4096);
    twin.iommu.map(kept, BAR.A, 4096, IommuProt.READ);
    twin.iommu.iovaFree(recycled, 4096);
    machine.reap(dead.tid);
    const report = machine.verify();
    expect(report.leaks).toEqual([]);
    expect(report.damage).toEqual([
      `iommu-mapping: 1 pages are mapped in the domain of ${NODE.B}`,
      `iova: 1 pages of IOVAs of the domain of ${NODE.B} were not given back`,
    ]);
    expect(pci.function(NODE.B).iommu.iova!.ranges()).toEqual(expect.arrayContaining([[kept / 4096, kept / 4096 + 1]]));
    expect(pci.function(NODE.B).iommu.iova!.ranges()).not.toEqual(
      expect.arrayContaining([[recycled / 4096, kept / 4096 + 1]]),
    );
  });
});
