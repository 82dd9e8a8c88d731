import { Device, DmaDirection } from '@dmabuf-emu/core';
import { KernelError, type Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import type { PciOptions, PciSystem } from '../system/index.ts';
import { BAR, NODE, type SmallOptions, smallTopology, testSystem } from '../system/test-system.ts';
import { builtinMachine, type MachineDescription } from '../topology/index.ts';
import { INTEL } from '../topology/test-machine.ts';
import { freeSgt, type PhysVec, physVecToSgt } from './index.ts';
import { exportRanges, type TestBuffer } from './test-exporter.ts';

const GIB = 2 ** 30;
const UINT_MAX = 2 ** 32 - 1;
const MAX_ENTRY = 0xffff_f000;
/** BAR 0 of A is made this large where a test needs it. */
const HUGE = 64 * GIB;

function hugeTopology(options: SmallOptions = {}): MachineDescription {
  const machine = smallTopology(options);
  const functions = machine.functions.map((fn) =>
    fn.bdf === NODE.A0 ? { ...fn, bars: [{ ...fn.bars[0]!, start: HUGE, size: HUGE }] } : fn,
  );
  const hostBridges = machine.hostBridges.map((bridge) => ({
    ...bridge,
    windows: [{ start: HUGE / 2, end: 2 ** 39 - 1, busOffset: options.busOffset ?? 0 }].slice(bridge.bus === 0 ? 0 : 1),
  }));
  return { ...machine, functions: functions.map((fn) => (fn.bdf === NODE.A0 ? fn : { ...fn, bars: [] })), hostBridges };
}

function bufferOf(
  machine: Machine,
  ranges: readonly PhysVec[],
  options: Partial<PciOptions> & SmallOptions = {},
  size?: number,
): { pci: PciSystem; buffer: TestBuffer } {
  const pci = testSystem(machine, options);
  return { pci, buffer: exportRanges(pci, pci.function(NODE.A0), 0, ranges, size) };
}

const range = (offset: number, len: number): PhysVec => ({ paddr: BAR.A + offset, len });
const huge = (len: number): PhysVec[] => [{ paddr: HUGE, len }];

// drivers 1.9
describe('below a common switch', () => {
  const bus = { iommu: false } as const;

  test.each([
    ['bus offset 0', 0],
    ['a bus offset below zero', -0x8_0000_0000],
  ])('one range is one entry with the bus address, no CPU side (%s)', (_name, busOffset) => {
    using machine = testMachine();
    const { pci, buffer } = bufferOf(machine, [range(0x4000, 8192)], { ...bus, busOffset });
    buffer.mapped(pci.function(NODE.B), (sgt) => {
      expect(sgt.entries()).toEqual([{ address: BAR.A + busOffset + 0x4000, length: 8192 }]);
      expect(sgt.origNents).toBe(0);
    });
    buffer.release();
  });

  test('ranges are never merged, even adjacent ones', () => {
    using machine = testMachine();
    const { pci, buffer } = bufferOf(machine, [range(0, 4096), range(4096, 4096), range(0x9000, 4096)], bus);
    buffer.mapped(pci.function(NODE.B), (sgt) => {
      expect(sgt.entries().map(({ address }) => address - BAR.A)).toEqual([0, 4096, 0x9000]);
    });
    buffer.release();
  });

  test('4 GiB take two entries, split on a page boundary', () => {
    using machine = testMachine();
    const { pci, buffer } = bufferOf(machine, huge(4 * GIB), { ...bus, topology: hugeTopology() });
    buffer.mapped(pci.function(NODE.B), (sgt) => {
      expect(sgt.entries()).toEqual([
        { address: HUGE, length: MAX_ENTRY },
        { address: HUGE + MAX_ENTRY, length: 4096 },
      ]);
    });
    buffer.release();
  });

  test('quirk chunkUintMax (and kernel 7.1-rc2): 4 GiB are split at 2^32 - 1', () => {
    for (const more of [{ quirks: ['mapping.chunkUintMax'] }, { kernel: '7.1-rc2' as const }]) {
      using machine = testMachine(more);
      const { pci, buffer } = bufferOf(machine, huge(4 * GIB), { ...bus, topology: hugeTopology() });
      buffer.mapped(pci.function(NODE.B), (sgt) => {
        expect(sgt.entries()).toEqual([
          { address: HUGE, length: UINT_MAX },
          { address: HUGE + UINT_MAX, length: 1 },
        ]);
      });
      buffer.release();
    }
  });

  test('12 GiB: every entry at its place; with quirk chunkAddress32 the third is not', () => {
    for (const quirks of [[], ['mapping.chunkUintMax', 'mapping.chunkAddress32']]) {
      using machine = testMachine({ quirks });
      const { pci, buffer } = bufferOf(machine, huge(12 * GIB), { ...bus, topology: hugeTopology() });
      buffer.mapped(pci.function(NODE.B), (sgt) => {
        const chunk = quirks.length === 0 ? MAX_ENTRY : UINT_MAX;
        expect(sgt.nents).toBe(4);
        const third = quirks.length === 0 ? HUGE + 2 * chunk : HUGE + ((2 * chunk) % 2 ** 32);
        expect(sgt.address(2)).toBe(third);
      });
      buffer.release();
    }
  });
});

describe('through the host bridge, translated', () => {
  test('two ranges are one contiguous range of IOVAs', () => {
    using machine = testMachine();
    const { pci, buffer } = bufferOf(machine, [range(0x8000, 4096), range(0, 4096)]);
    const client = pci.function(NODE.C);
    buffer.mapped(client, (sgt) => {
      expect(sgt.entries()).toEqual([{ address: 0xffff_e000, length: 8192 }]);
      expect(client.iommu.iovaToPhys(0xffff_e000)).toBe(BAR.A + 0x8000);
      expect(client.iommu.iovaToPhys(0xffff_f000)).toBe(BAR.A);
      client.dma.write(0xffff_e000, new Uint8Array(8192).fill(3));
      expect(pci.memory.cpuRead(BAR.A, 4096)[4095]).toBe(3);
    });
    expect(client.iommu.mappedPages).toBe(0);
    buffer.release();
  });

  test('also below one switch, because the ports redirect', () => {
    using machine = testMachine();
    const { pci, buffer } = bufferOf(machine, [range(0, 8192)]);
    const client = pci.function(NODE.B);
    buffer.mapped(client, (sgt) => expect(client.iommu.iovaToPhys(sgt.address(0))).toBe(BAR.A));
    buffer.release();
  });

  test('a large buffer is translated with large leaves', () => {
    using machine = testMachine();
    const { pci, buffer } = bufferOf(machine, [range(0, BAR.A_BYTES)]);
    const client = pci.function(NODE.C);
    buffer.mapped(client, (sgt) => {
      expect(sgt.address(0) % BAR.A_BYTES).toBe(0);
      expect(client.iommu.tableCount).toBeLessThan(6);
    });
    buffer.release();
  });

  test('the direction decides what the device may do', () => {
    using machine = testMachine();
    const { pci, buffer } = bufferOf(machine, [range(0, 4096)]);
    const client = pci.function(NODE.C);
    buffer.mapped(
      client,
      (sgt) => {
        expect(client.dma.tryWrite(sgt.address(0), Uint8Array.of(1))).toBe(0);
        expect(client.dma.read(sgt.address(0), 1)).toEqual(Uint8Array.of(0));
      },
      DmaDirection.TO_DEVICE,
    );
    expect(pci.faults.list()).toMatchObject([
      {
        kind: 'iommu-fault',
        reason: 'permission',
        grant: { exporter: 'test-ranges', importer: 'static', ino: buffer.dmabuf.ino },
      },
    ]);
    buffer.release();
  });

  test('a size that does not match the ranges is a WARN', () => {
    using machine = testMachine();
    const { pci, buffer } = bufferOf(machine, [range(0, 4096)], {}, 8192);
    machine.diag.expect('warn', 'dma_buf_phys_vec_to_sgt');
    machine.diag.expect('warn', 'dma_iova_unlink');
    buffer.mapped(pci.function(NODE.C), (sgt) => expect(sgt.length(0)).toBe(4096));
    expect(machine.diag.count('warn')).toBe(2);
    buffer.release();
  });

  test('quirk iovaLinkOffsetZero (and kernels 7.1-rc2, 7.3): a second range is EADDRINUSE, and nothing stays', () => {
    for (const more of [{ quirks: ['mapping.iovaLinkOffsetZero'] }, { kernel: '7.3' as const }]) {
      using machine = testMachine(more);
      const { pci, buffer } = bufferOf(machine, [range(0, 4096), range(0x8000, 4096)]);
      const attachment = buffer.attach(pci.function(NODE.C));
      expect(() => buffer.map(attachment)).toThrow(expect.objectContaining({ code: 'EADDRINUSE' }));
      buffer.release(attachment);
    }
  });

  test('quirk iovaFreeMappedLen: the failure of a second range gives back the wrong length', () => {
    using machine = testMachine({ kernel: '7.1-rc2' });
    const { pci, buffer } = bufferOf(machine, [range(0, 4096), range(0x8000, 4096)]);
    const client = pci.function(NODE.C);
    const attachment = buffer.attach(client);
    expect(() => buffer.map(attachment)).toThrow(/EADDRINUSE/u);
    expect(client.iommu.iova!.livePages()).toBe(1);
    client.iommu.iovaFree(0xffff_f000, 4096);
    buffer.release(attachment);
  });

  test('quirk mappedLen32 (and kernel 7.1-rc2): of 5 GiB only 1 GiB is in the table', () => {
    for (const wrong of [false, true]) {
      using machine = testMachine(wrong ? { kernel: '7.1-rc2' } : {});
      const { pci, buffer } = bufferOf(machine, huge(5 * GIB), { topology: hugeTopology() });
      if (wrong) machine.diag.expect('warn', 'dma_buf_phys_vec_to_sgt');
      buffer.mapped(pci.function(NODE.C), (sgt) => {
        expect(sgt.nents).toBe(2);
        expect(sgt.length(0) + sgt.length(1)).toBe(wrong ? GIB : 5 * GIB);
      });
      buffer.release();
    }
  });

  test('an address space that is full falls back to one mapping per range', () => {
    using machine = testMachine();
    const { pci, buffer } = bufferOf(machine, [range(0, 4096), range(0x8000, 4096)], { dmaMask: 0xffff_ffff });
    const client = pci.function(NODE.C);
    // Two free pages that are no aligned pair.
    client.iommu.iova!.reserve({ start: 0, end: 0xffff_cfff });
    client.iommu.iova!.reserve({ start: 0xffff_f000, end: 0xffff_ffff });
    buffer.mapped(client, (sgt) => {
      expect(sgt.entries().map(({ length }) => length)).toEqual([4096, 4096]);
      expect(client.iommu.iovaToPhys(sgt.address(1))).toBe(BAR.A + 0x8000);
    });
    buffer.release();
  });
});

describe('through the host bridge, untranslated', () => {
  test('addresses are physical, one entry a range', () => {
    using machine = testMachine();
    const { pci, buffer } = bufferOf(machine, [range(0, 4096), range(0x8000, 8192)], {
      iommu: false,
      busOffset: -0x8_0000_0000,
    });
    const client = pci.function(NODE.C);
    buffer.mapped(client, (sgt) => {
      expect(sgt.entries()).toEqual([
        { address: BAR.A, length: 4096 },
        { address: BAR.A + 0x8000, length: 8192 },
      ]);
      client.dma.write(sgt.address(1), Uint8Array.of(5));
      expect(pci.memory.cpuRead(BAR.A + 0x8000, 1)).toEqual(Uint8Array.of(5));
    });
    expect(pci.faults.count()).toBe(0);
    buffer.release();
  });

  test.each([
    ['out of the reach of the DMA mask', { dmaMask: 0xffff_ffff }, true],
    ['a device that must bounce', {}, false],
  ])('%s is ENOMEM', (_name, options, warns) => {
    using machine = testMachine();
    const { pci, buffer } = bufferOf(machine, [range(0, 4096)], { iommu: false, ...options });
    const client = pci.function(NODE.C);
    if (warns) machine.diag.expect('warn', 'dma_direct_map_phys');
    else client.forceBounce = true;
    const attachment = buffer.attach(client);
    expect(() => buffer.map(attachment)).toThrow(expect.objectContaining({ code: 'ENOMEM' }));
    expect(machine.diag.count('warn')).toBe(warns ? 1 : 0);
    buffer.release(attachment);
  });

  test('quirk unmapUnfilled hands page 0 to the IOVA cache when a later range fails', () => {
    for (const quirks of [[], ['mapping.unmapUnfilled']]) {
      using machine = testMachine({ quirks });
      const { pci, buffer } = bufferOf(machine, [range(0, 4096), range(0x8000, 4096)], { dmaMask: 0xffff_ffff });
      const client = pci.function(NODE.C);
      client.iommu.iova!.reserve({ start: 0, end: 0xffff_efff });
      const attachment = buffer.attach(client);
      expect(() => buffer.map(attachment)).toThrow(/ENOMEM/u);
      expect(client.iommu.iova!.livePages()).toBe(quirks.length === 0 ? 0 : -1);
      if (quirks.length > 0) client.iommu.iova!.alloc(1, 2 ** 20, true);
      expect(client.iommu.mappedPages).toBe(0);
      if (quirks.length > 0) machine.onVerify('pci-iommu', () => undefined);
      buffer.release(attachment);
    }
  });
});

describe('refusals', () => {
  test('without resv the caller is told', () => {
    using machine = testMachine();
    const { pci, buffer } = bufferOf(machine, [range(0, 4096)]);
    const attachment = buffer.attach(pci.function(NODE.C));
    machine.diag.expect('lockdep', 'not-held');
    expect(() => physVecToSgt(attachment, null, [], 0, DmaDirection.BIDIRECTIONAL)).toThrow(/EINVAL/u);
    expect(machine.diag.count('lockdep')).toBe(1);
    machine.diag.expect('warn', 'dma_buf_phys_vec_to_sgt');
    buffer.release(attachment);
  });

  test('no provider is EINVAL with a WARN', () => {
    using machine = testMachine();
    const { pci, buffer } = bufferOf(machine, [range(0, 4096)]);
    const attachment = buffer.attach(pci.function(NODE.C));
    machine.diag.expect('warn', 'dma_buf_phys_vec_to_sgt');
    buffer.dmabuf.resv.with(() => {
      expect(() => physVecToSgt(attachment, null, [range(0, 4096)], 4096, DmaDirection.BIDIRECTIONAL)).toThrow(
        /EINVAL.*no provider/u,
      );
    });
    buffer.release(attachment);
  });

  test('a device that is not on PCI is EINVAL', () => {
    using machine = testMachine();
    const { buffer } = bufferOf(machine, [range(0, 4096)]);
    const attachment = buffer.dmabuf.attach(Device.register(machine, { name: 'display', kind: 'platform' }));
    expect(() => buffer.map(attachment)).toThrow(/EINVAL.*display cannot reach 0000:03:00.0 BAR 0: NOT_SUPPORTED/u);
    buffer.release(attachment);
  });

  test('host bridges that do not forward are EINVAL, before the ranges are looked at', () => {
    using machine = testMachine();
    const { pci, buffer } = bufferOf(machine, [], { cpu: INTEL }, 0);
    const attachment = buffer.attach(pci.function(NODE.C));
    expect(() => buffer.map(attachment)).toThrow(/EINVAL.*NOT_SUPPORTED/u);
    buffer.release(attachment);
  });

  test('no ranges are EINVAL: no entries', () => {
    using machine = testMachine();
    const { pci, buffer } = bufferOf(machine, [], { iommu: false }, 4096);
    for (const node of [NODE.B, NODE.C]) {
      const attachment = buffer.attach(pci.function(node));
      expect(() => buffer.map(attachment)).toThrow(/EINVAL.*no or too many entries/u);
      buffer.dmabuf.detach(attachment);
    }
    buffer.release();
  });

  test('too many entries for a 32-bit counter are EINVAL', () => {
    using machine = testMachine();
    const ranges = Array.from({ length: 4200 }, () => ({ paddr: BAR.A, len: 2 ** 52 }));
    const { pci, buffer } = bufferOf(machine, ranges, { iommu: false }, 4096);
    const attachment = buffer.attach(pci.function(NODE.B));
    expect(() => buffer.map(attachment)).toThrow(/EINVAL.*no or too many entries/u);
    buffer.release(attachment);
  });

  test('an unaligned range of an untrusted device is EPERM; a second unaligned one EIO', () => {
    using machine = testMachine();
    const { pci, buffer } = bufferOf(machine, [range(0x100, 0x700)]);
    const client = pci.function(NODE.C);
    client.untrusted = true;
    const attachment = buffer.attach(client);
    expect(() => buffer.map(attachment)).toThrow(expect.objectContaining({ code: 'EPERM' }));
    buffer.release(attachment);
    const other = exportRanges(pci, pci.function(NODE.A0), 0, [range(0, 4096), range(0x8100, 0x700)]);
    client.untrusted = false;
    machine.diag.expect('warn', 'dma_iova_link');
    const second = other.attach(client);
    expect(() => other.map(second)).toThrow(expect.objectContaining({ code: 'EIO' }));
    other.release(second);
  });

  test('taking back with another direction is a WARN, and works', () => {
    using machine = testMachine();
    const { pci, buffer } = bufferOf(machine, [range(0, 4096)]);
    machine.diag.expect('warn', 'dma-direction');
    const attachment = buffer.attach(pci.function(NODE.C));
    const sgt = buffer.map(attachment);
    buffer.unmap(attachment, sgt, DmaDirection.TO_DEVICE);
    expect(machine.diag.count('warn')).toBe(1);
    buffer.release(attachment);
  });

  test('a table of another kind is not freed', () => {
    using machine = testMachine();
    const { pci, buffer } = bufferOf(machine, [range(0, 4096)]);
    const attachment = buffer.attach(pci.function(NODE.C));
    machine.diag.expect('warn', 'dma_buf_free_sgt');
    const sgt = buffer.map(attachment);
    sgt.setPrivWord(3, 0);
    buffer.dmabuf.resv.with(() => {
      expect(() => freeSgt(attachment, sgt, DmaDirection.BIDIRECTIONAL)).toThrow(KernelError);
    });
    sgt.setPrivWord(
      3,
      [
        ...machine
          .allSlabs()
          .find((slab) => slab.struct.$name === 'dma_buf_dma')!
          .live(),
      ][0]!,
    );
    buffer.unmap(attachment, sgt);
    buffer.release(attachment);
  });
});

// drivers 1.6
describe('failing on the way', () => {
  test.each([
    ['bus addresses', NODE.B, { iommu: false }],
    ['IOVAs', NODE.C, {}],
    ['direct', NODE.C, { iommu: false }],
  ] as const)('%s: every failing allocation is unwound', (_name, node, options) => {
    for (let nth = 1; ; nth++) {
      using machine = testMachine();
      const { pci, buffer } = bufferOf(
        machine,
        [range(0, 4096), range(0x8000, 8192), range(4 << 20, 4 << 20)],
        options,
      );
      const client = pci.function(node);
      const attachment = buffer.attach(client);
      client.iommu.iovaFree(client.iommu.iovaAlloc(4096), 4096);
      const live = (): Record<string, number> =>
        Object.fromEntries(
          machine
            .allSlabs()
            .map((slab) => [slab.struct.$name, [...slab.live()].length] as const)
            .filter(
              ([name, count]) =>
                count > 0 &&
                !['iommu_table', 'iommu_upper_table', 'iova_magazine', 'iova_task_cache'].includes(name) &&
                !name.startsWith('kmem'),
            ),
        );
      const before = live();
      machine.faults.failNth(nth);
      let sgt;
      try {
        sgt = buffer.map(attachment);
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENOMEM' });
      }
      machine.faults.off();
      const injected = machine.faults.count;
      if (sgt !== undefined) buffer.unmap(attachment, sgt);
      expect(live()).toEqual(before);
      expect(client.iommu.mappedPages).toBe(0);
      expect(client.iommu.iova?.livePages() ?? 0).toBe(0);
      expect(pci.grants.list()).toEqual([]);
      buffer.release(attachment);
      if (injected > 0) continue;
      expect(nth).toBeGreaterThan(4);
      return;
    }
  });

  test('quirk leakIova: the IOVAs of a failed map are lost', () => {
    using machine = testMachine({ quirks: ['mapping.leakIova'] });
    const { pci, buffer } = bufferOf(machine, [{ paddr: 0x3f_0000_0000, len: 4096 }]);
    const client = pci.function(NODE.C);
    const attachment = buffer.attach(client);
    expect(() => buffer.map(attachment)).toThrow(/ERANGE/u);
    expect(client.iommu.iova!.livePages()).toBe(1);
    client.iommu.iovaFree(0xffff_f000, 4096);
    buffer.release(attachment);
  });

  test('quirk leakEntryArray: tables pile up', () => {
    using machine = testMachine({ quirks: ['mapping.leakEntryArray'] });
    const { pci, buffer } = bufferOf(machine, [range(0, 4096)]);
    const tables = (): number[] => [
      ...machine
        .allSlabs()
        .find((slab) => slab.struct.$name === 'sg_table')!
        .live(),
    ];
    for (let i = 0; i < 3; i++) buffer.mapped(pci.function(NODE.C), () => undefined);
    expect(tables()).toHaveLength(3);
    buffer.release();
    machine.onVerify('core.dma-buf', () => undefined);
  });

  test('mapping and unmapping many times leaves nothing behind', () => {
    using machine = testMachine();
    const { pci, buffer } = bufferOf(machine, [range(0, 4096), range(0x8000, 8192)]);
    const client = pci.function(NODE.C);
    const attachment = buffer.attach(client);
    let used = 0;
    for (let i = 0; i < 500; i++) {
      buffer.unmap(attachment, buffer.map(attachment));
      if (i === 10) used = machine.arena.usage().usedBytes;
    }
    expect(machine.arena.usage().usedBytes).toBe(used);
    buffer.release(attachment);
  });
});

test('every pair of devices of a real server maps and moves data, or is refused as its map type says', () => {
  using machine = testMachine({ arenaBytes: 256 << 20 });
  const pci = testSystem(machine, { topology: builtinMachine('genoa-4gpu') });
  const owner = pci.functions.find((fn) => fn.bars.some((bar) => bar.isMemory && bar.size >= 2 ** 30))!;
  const bar = owner.bars.find(({ size, isMemory }) => isMemory && size >= 2 ** 30)!;
  const buffer = exportRanges(pci, owner, bar.index, [
    { paddr: bar.start + 2 ** 20, len: 2 ** 21 },
    { paddr: bar.start, len: 4096 },
  ]);
  let epoch = 0;
  for (const client of pci.functions) {
    if (!client.kind.endsWith('endpoint') || client === owner) continue;
    epoch++;
    buffer.mapped(client, (sgt) => {
      const stamp = { owner: client.index, epoch, offset: 0 };
      client.dma.writePattern(sgt.address(0), sgt.length(0), stamp);
      expect(client.dma.checkPattern(sgt.address(0), sgt.length(0), stamp)).toBeNull();
    });
  }
  expect(epoch).toBeGreaterThan(4);
  expect(pci.faults.count()).toBe(0);
  buffer.release();
});
