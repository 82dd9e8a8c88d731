import {
  type AcsKnowledge,
  type BarDescription,
  type CpuDescription,
  type FunctionDescription,
  type FunctionKind,
  type HostBridgeDescription,
  MACHINE_SCHEMA,
  type MachineDescription,
} from './index.ts';

/** Vendor and class facts that no rule looks at, so that hand-made functions stay one line. */
export function testFunction(
  bdf: string,
  kind: FunctionKind,
  more: Partial<FunctionDescription> = {},
): FunctionDescription {
  return {
    bdf,
    vendor: 0x1af4,
    device: 0x1000,
    class: 0xff0000,
    kind,
    bars: [],
    acs: null,
    flr: false,
    pm: false,
    ...more,
  };
}

/** A bridge with its buses. */
export function testBridge(
  bdf: string,
  kind: FunctionKind,
  buses: readonly [secondary: number, subordinate: number],
  more: Partial<FunctionDescription> = {},
): FunctionDescription {
  return testFunction(bdf, kind, { class: 0x060400, secondary: buses[0], subordinate: buses[1], ...more });
}

/** A 64-bit prefetchable BAR. */
export function testBar(start: number, size: number, more: Partial<BarDescription> = {}): BarDescription {
  return { index: 0, start, size, kind: 'mem64', prefetchable: true, ...more };
}

/** A machine from its functions; host bridges without windows. */
export function testMachine(
  functions: readonly FunctionDescription[],
  more: Partial<MachineDescription> = {},
): MachineDescription {
  return {
    schema: MACHINE_SCHEMA,
    name: 'test',
    title: 'hand-made',
    cpu: AMD_ZEN,
    hostBridges: [testHostBridge(0)],
    functions,
    ...more,
  };
}

export function testHostBridge(bus: number, more: Partial<HostBridgeDescription> = {}): HostBridgeDescription {
  return { domain: 0, bus, windows: [], ...more };
}

export const AMD_ZEN: CpuDescription = { vendor: 'AMD', family: 0x19 };
export const INTEL: CpuDescription = { vendor: 'Intel', family: 6 };

/** ACS with request redirect on. */
export const REDIRECT: AcsKnowledge = { cap: 0x5f, ctrl: 0x04 };

/** Names of the functions of {@link twoRootMachine}. */
export const NODE = {
  RP0: '0000:00:01.0',
  U0: '0000:01:00.0',
  D0: '0000:02:00.0',
  D1: '0000:02:01.0',
  A0: '0000:03:00.0',
  A1: '0000:03:00.1',
  B: '0000:04:00.0',
  RP1: '0000:00:02.0',
  C: '0000:05:00.0',
  RP2: '0000:80:01.0',
  D: '0000:81:00.0',
} as const;
export type NodeName = keyof typeof NODE;

/** What {@link twoRootMachine} varies. */
export interface TwoRootOptions {
  readonly cpu?: CpuDescription;
  /** ACS by node; all others have none. */
  readonly acs?: Partial<Record<NodeName, AcsKnowledge>>;
  /** Device ids (vendor 8086) of the functions 00.0 of the two root buses. */
  readonly roots?: readonly [number, number];
}

/**
 * Two root complexes: RC0 with RP0 -> switch U0 -> D0 -> A (two functions) and D1 -> B, and RP1 -> C; RC1 with RP2 -> D.
 */
export function twoRootMachine(options: TwoRootOptions = {}): MachineDescription {
  const acs = (node: NodeName): { acs: AcsKnowledge } => ({ acs: options.acs?.[node] ?? null });
  const [root0, root1] = options.roots ?? [0x1234, 0x1234];
  const root = { vendor: 0x8086, class: 0x060000 };
  return testMachine(
    [
      testFunction('0000:00:00.0', 'host-bridge', { ...root, device: root0 }),
      testBridge(NODE.RP0, 'root-port', [0x01, 0x04], acs('RP0')),
      testBridge(NODE.RP1, 'root-port', [0x05, 0x05], acs('RP1')),
      testBridge(NODE.U0, 'upstream-port', [0x02, 0x04], acs('U0')),
      testBridge(NODE.D0, 'downstream-port', [0x03, 0x03], acs('D0')),
      testBridge(NODE.D1, 'downstream-port', [0x04, 0x04], acs('D1')),
      testFunction(NODE.A0, 'endpoint', { ...acs('A0'), bars: [testBar(0x10_0000_0000, 0x1000_0000)] }),
      testFunction(NODE.A1, 'endpoint', acs('A1')),
      testFunction(NODE.B, 'endpoint', acs('B')),
      testFunction(NODE.C, 'endpoint', acs('C')),
      testFunction('0000:80:00.0', 'host-bridge', { ...root, device: root1 }),
      testBridge(NODE.RP2, 'root-port', [0x81, 0x81], acs('RP2')),
      testFunction(NODE.D, 'endpoint', acs('D')),
    ],
    { cpu: options.cpu ?? AMD_ZEN, hostBridges: [testHostBridge(0x00), testHostBridge(0x80)] },
  );
}
