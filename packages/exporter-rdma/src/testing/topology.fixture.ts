import {
  type FunctionDescription,
  type FunctionKind,
  MACHINE_SCHEMA,
  type MachineDescription,
} from '@dmabuf-emu/pci-iommu';

/** An RDMA NIC below one root port, an importer below another, a NIC whose BAR cannot be mapped, one without memory BARs. */
export const BDF = {
  ROOT_PORT: '0000:00:01.0',
  NIC: '0000:01:00.0',
  GPU: '0000:02:00.0',
  UNMAPPABLE: '0000:03:00.0',
  PORTS: '0000:04:00.0',
} as const;

export const MIB = 1 << 20;
/** The NIC's BAR. */
export const BAR = { start: 0x38_0000_0000, size: 32 * MIB } as const;

function fn(bdf: string, kind: FunctionKind, more: Partial<FunctionDescription> = {}): FunctionDescription {
  const common = { vendor: 0x15b3, device: 0x1021, class: 0x020000, acs: null, flr: true, pm: true };
  return { bdf, kind, bars: [], ...common, ...more };
}

function rootPort(bdf: string, bus: number): FunctionDescription {
  return fn(bdf, 'root-port', { class: 0x060400, secondary: bus, subordinate: bus, flr: false });
}

function mem64(start: number, size: number): FunctionDescription['bars'] {
  return [{ index: 0, start, size, kind: 'mem64', prefetchable: true }];
}

export const TEST_TOPOLOGY: MachineDescription = {
  schema: MACHINE_SCHEMA,
  name: 'rdma-test',
  title: 'hand-made',
  cpu: { vendor: 'AMD', family: 0x19 },
  hostBridges: [{ domain: 0, bus: 0, busEnd: 4, windows: [] }],
  functions: [
    fn('0000:00:00.0', 'host-bridge', { class: 0x060000, flr: false, pm: false }),
    rootPort(BDF.ROOT_PORT, 1),
    rootPort('0000:00:02.0', 2),
    rootPort('0000:00:03.0', 3),
    rootPort('0000:00:04.0', 4),
    fn(BDF.NIC, 'endpoint', { bars: mem64(BAR.start, BAR.size) }),
    fn(BDF.GPU, 'endpoint', { bars: mem64(0x3a_0000_0000, MIB) }),
    fn(BDF.UNMAPPABLE, 'endpoint', { bars: mem64(0x3b_0000_0000, MIB), nonMappableBars: true }),
    fn(BDF.PORTS, 'endpoint', { bars: [{ index: 0, start: 0xd000, size: 128, kind: 'io', prefetchable: false }] }),
  ],
};
