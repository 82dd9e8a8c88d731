import { Device } from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { type PciFunction, PciSystem } from '../system/index.ts';
import { NODE, smallTopology } from '../system/test-system.ts';
import { testBar } from '../topology/test-machine.ts';
import type { PhysVec } from './index.ts';
import { exportRanges, type TestBuffer } from './test-exporter.ts';

const GIB = 2 ** 30;
const UINT_MAX = 0xffff_ffff;
const MAX_ENTRY = 0xffff_f000;

interface Rig {
  readonly buffer: TestBuffer;
  /** Below the same switch, without redirection: BUS_ADDR when there is no IOMMU. */
  readonly near: PciFunction;
  /** Below another root port: THRU_HOST_BRIDGE. */
  readonly far: PciFunction;
}

/** A buffer over ranges of a BAR at `start`. */
function rig(
  machine: Machine,
  start: number,
  ranges: readonly PhysVec[],
  options: { readonly iommu: boolean; readonly busOffset?: number },
): Rig {
  const size = 2 ** Math.ceil(Math.log2(Math.max(2 ** 28, ...ranges.map(({ paddr, len }) => paddr + len - start))));
  const small = smallTopology();
  const functions = small.functions.map((fn) => ({ ...fn, bars: fn.bdf === NODE.A0 ? [testBar(start, size)] : [] }));
  const window = { start, end: start + size - 1, busOffset: options.busOffset ?? 0 };
  const hostBridges = small.hostBridges.map((bridge) => ({ ...bridge, windows: bridge.bus === 0 ? [window] : [] }));
  const pci = PciSystem.create(machine, { topology: { ...small, functions, hostBridges }, iommu: options.iommu });
  const buffer = exportRanges(pci, pci.function(NODE.A0), 0, ranges);
  return { buffer, near: pci.function(NODE.B), far: pci.function(NODE.C) };
}

function entriesOf(buffer: TestBuffer, client: PciFunction): readonly (readonly [address: number, length: number])[] {
  return buffer.mapped(client, (sgt) => {
    expect(sgt.origNents).toBe(0);
    return sgt.entries().map(({ address, length }) => [address, length] as const);
  });
}

const BASE = 0x9000_0000;
const TWO = [
  { paddr: BASE + 0x4000, len: 4096 },
  { paddr: BASE, len: 4096 },
];

describe('drivers §1.9, below a common switch', () => {
  test.each([
    ['8 KiB at 0x90000000, bus offset 0', 0, 0x9000_0000],
    ['8 KiB at 0x90000000, bus offset -0x10000000', -0x1000_0000, 0x8000_0000],
  ])('%s: one entry', (_name, busOffset, address) => {
    using machine = testMachine();
    const { buffer, near } = rig(machine, BASE, [{ paddr: BASE, len: 0x2000 }], { iommu: false, busOffset });
    expect(entriesOf(buffer, near)).toEqual([[address, 0x2000]]);
    buffer.release();
  });

  test.each([
    ['not adjacent', TWO],
    [
      'adjacent',
      [
        { paddr: BASE, len: 4096 },
        { paddr: BASE + 4096, len: 4096 },
      ],
    ],
  ])('2 x 4 KiB, %s: two entries', (_name, ranges) => {
    using machine = testMachine();
    const { buffer, near } = rig(machine, BASE, ranges, { iommu: false });
    expect(entriesOf(buffer, near)).toEqual(ranges.map(({ paddr, len }) => [paddr, len]));
    buffer.release();
  });

  test.each([
    ['7.1-rc2', UINT_MAX],
    ['7.1', MAX_ENTRY],
    ['7.3', MAX_ENTRY],
  ] as const)('4 GiB, kernel %s: two entries, the first of %d bytes', (kernel, first) => {
    using machine = testMachine({ kernel });
    const at = 64 * GIB;
    const { buffer, near } = rig(machine, at, [{ paddr: at, len: 4 * GIB }], { iommu: false });
    expect(entriesOf(buffer, near)).toEqual([
      [at, first],
      [at + first, 4 * GIB - first],
    ]);
    buffer.release();
  });

  test('12 GiB, before the addresses of entries had 64 bits: the third is at a wrong place (F11)', () => {
    using machine = testMachine({ quirks: ['mapping.chunkUintMax', 'mapping.chunkAddress32'] });
    const at = 64 * GIB;
    const { buffer, near } = rig(machine, at, [{ paddr: at, len: 12 * GIB }], { iommu: false });
    expect(entriesOf(buffer, near).map(([address]) => address - at)).toEqual([0, UINT_MAX, UINT_MAX - 1, UINT_MAX - 2]);
    buffer.release();
  });
});

describe('drivers §1.9, through the host bridge', () => {
  test('2 x 4 KiB, direct: two entries, addresses are physical', () => {
    using machine = testMachine();
    const { buffer, far } = rig(machine, BASE, TWO, { iommu: false });
    expect(entriesOf(buffer, far)).toEqual(TWO.map(({ paddr, len }) => [paddr, len]));
    buffer.release();
  });

  test('2 x 4 KiB, IOMMU: one entry of 8 KiB', () => {
    using machine = testMachine();
    const { buffer, far } = rig(machine, BASE, TWO, { iommu: true });
    const entries = entriesOf(buffer, far);
    expect(entries).toEqual([[0xffff_e000, 0x2000]]);
    buffer.release();
  });

  test.each(['6.19', '7.0', '7.1-rc2', '7.3'] as const)(
    '2 x 4 KiB, IOMMU, as kernel %s does it: EADDRINUSE (F15)',
    (kernel) => {
      using machine = testMachine({ kernel });
      const { buffer, far } = rig(machine, BASE, TWO, { iommu: true });
      const attachment = buffer.attach(far);
      expect(() => buffer.map(attachment)).toThrow(expect.objectContaining({ code: 'EADDRINUSE' }));
      if (far.iommu.iova!.livePages() > 0) far.iommu.iovaFree(0xffff_f000, 4096);
      buffer.release(attachment);
    },
  );

  test('5 GiB, IOMMU, kernel 7.1-rc2: of two entries only the first is filled, with 1 GiB (F12)', () => {
    using machine = testMachine({ kernel: '7.1-rc2' });
    machine.diag.expect('warn', 'dma_buf_phys_vec_to_sgt');
    const at = 64 * GIB;
    const { buffer, far } = rig(machine, at, [{ paddr: at, len: 5 * GIB }], { iommu: true });
    expect(entriesOf(buffer, far).map(([, length]) => length)).toEqual([GIB, 0]);
    buffer.release();
  });

  test('a client that is not on PCI: EINVAL', () => {
    using machine = testMachine();
    const { buffer } = rig(machine, BASE, TWO, { iommu: true });
    const attachment = buffer.dmabuf.attach(Device.register(machine, { name: 'display', kind: 'platform' }));
    expect(() => buffer.map(attachment)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    buffer.release(attachment);
  });
});
