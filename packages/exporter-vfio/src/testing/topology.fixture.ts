import {
  type FunctionDescription,
  type FunctionKind,
  MACHINE_SCHEMA,
  type MachineDescription,
} from '@dmabuf-emu/pci-iommu';

/**
 * One root complex:
 *
 * - a switch with the device under test (`DUT`, BARs of every kind) and a NIC beside it (`NEAR`: reached by bus address);
 * - root ports with another NIC (`FAR`: reached through the host bridge, has a 16 GiB BAR), a physical function with one
 *   virtual function, a function whose BARs cannot be mapped, two functions that cannot be reset;
 * - a conventional PCI function with advanced features.
 */
export const BDF = {
  ROOT_PORT: '0000:00:01.0',
  DUT: '0000:03:00.0',
  NEAR: '0000:04:00.0',
  FAR: '0000:05:00.0',
  PF: '0000:06:00.0',
  VF: '0000:06:00.1',
  UNMAPPABLE: '0000:07:00.0',
  STUCK: '0000:08:00.0',
  LEGACY: '0000:00:1f.0',
} as const;

export const MIB = 1 << 20;
export const GIB = 2 ** 30;

/** BAR 2 of the device under test. */
export const BAR2 = { start: 0x38_0000_0000, size: 64 * MIB } as const;

function fn(bdf: string, kind: FunctionKind, more: Partial<FunctionDescription> = {}): FunctionDescription {
  return {
    bdf,
    vendor: 0x1022,
    device: 0x1480,
    class: 0xff0000,
    kind,
    bars: [],
    acs: null,
    flr: true,
    pm: true,
    ...more,
  };
}

function bridge(bdf: string, kind: FunctionKind, secondary: number, subordinate: number): FunctionDescription {
  return fn(bdf, kind, { class: 0x060400, secondary, subordinate, flr: false });
}

function mem64(index: number, start: number, size: number): FunctionDescription['bars'][number] {
  return { index, start, size, kind: 'mem64', prefetchable: true };
}

export const TEST_TOPOLOGY: MachineDescription = {
  schema: MACHINE_SCHEMA,
  name: 'vfio-test',
  title: 'hand-made',
  cpu: { vendor: 'AMD', family: 0x19 },
  hostBridges: [{ domain: 0, bus: 0, busEnd: 8, windows: [] }],
  functions: [
    fn('0000:00:00.0', 'host-bridge', { class: 0x060000, flr: false, pm: false }),
    bridge(BDF.ROOT_PORT, 'root-port', 1, 4),
    bridge('0000:00:02.0', 'root-port', 5, 5),
    bridge('0000:00:03.0', 'root-port', 6, 6),
    bridge('0000:00:04.0', 'root-port', 7, 7),
    bridge('0000:00:05.0', 'root-port', 8, 8),
    fn(BDF.LEGACY, 'pci-device', {
      bars: [{ index: 0, start: 0xfe90_0000, size: 0x10000, kind: 'mem32', prefetchable: false }],
    }),
    bridge('0000:01:00.0', 'upstream-port', 2, 4),
    bridge('0000:02:00.0', 'downstream-port', 3, 3),
    bridge('0000:02:01.0', 'downstream-port', 4, 4),
    fn(BDF.DUT, 'endpoint', {
      bars: [
        { index: 0, start: 0xfea0_0000, size: MIB, kind: 'mem32', prefetchable: false },
        mem64(2, BAR2.start, BAR2.size),
        { index: 4, start: 0xd000, size: 128, kind: 'io', prefetchable: false },
      ],
      rom: { start: 0xfeb0_0000, size: 0x10000 },
    }),
    fn(BDF.NEAR, 'endpoint', { bars: [mem64(0, 0x3a_0000_0000, 32 * MIB)] }),
    fn(BDF.FAR, 'endpoint', { bars: [mem64(0, 0x40_0000_0000, 16 * GIB)] }),
    fn(BDF.PF, 'endpoint', {
      bars: [mem64(0, 0x3b_0000_0000, MIB)],
      sriov: { totalVfs: 1, numVfs: 1, vfOffset: 1, vfStride: 1, vfDevice: 0x1481 },
    }),
    fn(BDF.VF, 'vf', { device: 0x1481, physfn: BDF.PF, bars: [mem64(0, 0x3b_1000_0000, MIB)] }),
    fn(BDF.UNMAPPABLE, 'endpoint', { nonMappableBars: true, bars: [mem64(0, 0x3c_0000_0000, MIB)] }),
    fn(BDF.STUCK, 'endpoint', { flr: false, bars: [mem64(0, 0x3d_0000_0000, MIB)] }),
    fn('0000:08:00.1', 'endpoint', { flr: false }),
  ],
};
