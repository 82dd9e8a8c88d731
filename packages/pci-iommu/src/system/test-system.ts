import type { Machine } from '@dmabuf-emu/shm';
import type { AcsKnowledge, CpuDescription, MachineDescription } from '../topology/index.ts';
import {
  AMD_ZEN,
  NODE,
  testBar,
  testBridge,
  testFunction,
  testHostBridge,
  testMachine,
} from '../topology/test-machine.ts';
import type { PciOptions } from './options.ts';
import { PciSystem } from './pci-system.ts';

export { NODE } from '../topology/test-machine.ts';

const MIB = 2 ** 20;

/** BAR 0 of functions A0, B and C of {@link smallTopology}, and the 16 KiB BAR 2 of A0. */
export const BAR = {
  A: 0x10_0000_0000,
  A_BYTES: 256 * MIB,
  A2: 0x8000_0000,
  A2_BYTES: 0x4000,
  B: 0x11_0000_0000,
  C: 0x12_0000_0000,
  D: 0x20_0000_0000,
  SMALL_BYTES: MIB,
} as const;

/** What {@link smallTopology} varies. */
export interface SmallOptions {
  readonly cpu?: CpuDescription;
  /** Bus address minus physical address in the 64-bit window of the first root complex. */
  readonly busOffset?: number;
  /** ACS of the ports; capable, nothing switched on by default. */
  readonly ports?: AcsKnowledge;
}

/**
 * RC0: RP0 -> switch -> { D0 -> A (two functions), D1 -> B }, RP1 -> C; RC1: RP2 -> D. A, B, C, D can reset and have BARs.
 */
export function smallTopology(options: SmallOptions = {}): MachineDescription {
  const acs = options.ports === undefined ? { cap: 0x5f, ctrl: 0 } : options.ports;
  const endpoint = { flr: true, pm: true };
  const windows = [
    { start: 0x8000_0000, end: 0xbfff_ffff, busOffset: 0 },
    { start: 0x10_0000_0000, end: 0x1f_ffff_ffff, busOffset: options.busOffset ?? 0 },
  ];
  const window1 = { start: 0x20_0000_0000, end: 0x2f_ffff_ffff, busOffset: 0 };
  return testMachine(
    [
      testBridge(NODE.RP0, 'root-port', [0x01, 0x04], { acs }),
      testBridge(NODE.RP1, 'root-port', [0x05, 0x05], { acs }),
      testBridge(NODE.U0, 'upstream-port', [0x02, 0x04]),
      testBridge(NODE.D0, 'downstream-port', [0x03, 0x03], { acs }),
      testBridge(NODE.D1, 'downstream-port', [0x04, 0x04], { acs }),
      testFunction(NODE.A0, 'endpoint', {
        ...endpoint,
        bars: [
          testBar(BAR.A, BAR.A_BYTES),
          testBar(BAR.A2, BAR.A2_BYTES, { index: 2, kind: 'mem32', prefetchable: false }),
        ],
      }),
      testFunction(NODE.A1, 'endpoint', endpoint),
      testFunction(NODE.B, 'endpoint', { ...endpoint, bars: [testBar(BAR.B, BAR.SMALL_BYTES)] }),
      testFunction(NODE.C, 'endpoint', { ...endpoint, bars: [testBar(BAR.C, BAR.SMALL_BYTES)] }),
      testBridge(NODE.RP2, 'root-port', [0x81, 0x81], { acs }),
      testFunction(NODE.D, 'endpoint', { ...endpoint, bars: [testBar(BAR.D, BAR.SMALL_BYTES)] }),
    ],
    {
      cpu: options.cpu ?? AMD_ZEN,
      hostBridges: [testHostBridge(0x00, { windows }), testHostBridge(0x80, { windows: [window1] })],
    },
  );
}

/** A PCI side over {@link smallTopology}. */
export function testSystem(machine: Machine, options: Partial<PciOptions> & SmallOptions = {}): PciSystem {
  const { cpu, busOffset, ports, ...rest } = options;
  const small: SmallOptions = {
    ...(cpu === undefined ? {} : { cpu }),
    ...(busOffset === undefined ? {} : { busOffset }),
    ...(ports === undefined ? {} : { ports }),
  };
  return PciSystem.create(machine, { topology: smallTopology(small), ...rest });
}
