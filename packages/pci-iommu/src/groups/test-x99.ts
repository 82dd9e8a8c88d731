import type { AcsKnowledge, MachineDescription } from '../topology/index.ts';
import { INTEL, testBridge, testFunction, testMachine } from '../topology/test-machine.ts';

const ids = (vendor: number, device: number): { vendor: number; device: number } => ({ vendor, device });
const acs: AcsKnowledge = { cap: 0x1f, ctrl: 0x1d };

/** An X99 desktop as `lspci` shows it: two CPU root ports with ACS, four PCH root ports without, a switch without below one. */
export const x99: MachineDescription = testMachine(
  [
    testFunction('0000:00:00.0', 'host-bridge', { ...ids(0x8086, 0x2f00), class: 0x060000 }),
    testBridge('0000:00:01.0', 'root-port', [0x04, 0x04], { ...ids(0x8086, 0x2f02), acs, multifunction: true }),
    testBridge('0000:00:01.1', 'root-port', [0x05, 0x05], { ...ids(0x8086, 0x2f03), acs, multifunction: true }),
    testBridge('0000:00:1c.0', 'root-port', [0x06, 0x06], { ...ids(0x8086, 0x8d10), multifunction: true }),
    testBridge('0000:00:1c.3', 'root-port', [0x07, 0x0b], { ...ids(0x8086, 0x8d16), multifunction: true }),
    testBridge('0000:00:1c.4', 'root-port', [0x0c, 0x0c], { ...ids(0x8086, 0x8d18), multifunction: true }),
    testBridge('0000:00:1c.6', 'root-port', [0x0d, 0x0d], { ...ids(0x8086, 0x8d1c), multifunction: true }),
    testBridge('0000:07:00.0', 'upstream-port', [0x08, 0x0b], ids(0x1b21, 0x118f)),
    testBridge('0000:08:01.0', 'downstream-port', [0x09, 0x09], ids(0x1b21, 0x118f)),
    testBridge('0000:08:03.0', 'downstream-port', [0x0a, 0x0a], ids(0x1b21, 0x118f)),
    testBridge('0000:08:04.0', 'downstream-port', [0x0b, 0x0b], ids(0x1b21, 0x118f)),
    testFunction('0000:09:00.0', 'endpoint', ids(0x8086, 0x1539)),
    testFunction('0000:0c:00.0', 'endpoint', ids(0x1b21, 0x0612)),
    testFunction('0000:0d:00.0', 'endpoint', ids(0x1b21, 0x1142)),
  ],
  { cpu: INTEL },
);
