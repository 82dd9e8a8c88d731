import type { Machine } from '@dmabuf-emu/shm';
import {
  type FunctionDescription,
  type HostBridgeDescription,
  Topology,
  type TopologyFunction,
} from '../topology/index.ts';
import { testBridge, testFunction, testHostBridge, testMachine } from '../topology/test-machine.ts';
import { ConfigSpace } from './config-space.ts';
import { FunctionReset } from './function-reset.ts';
import { configSpaceAt, FunctionStruct, functionStates } from './function-state.ts';

/** One endpoint below a root port, with registers as after power-on. */
export function testConfig(
  machine: Machine,
  more: Partial<FunctionDescription> = {},
  hostBridge: Partial<HostBridgeDescription> = {},
  command = 6,
): {
  config: ConfigSpace;
  reset: FunctionReset;
  fn: TopologyFunction;
  access: () => number;
  routeChanges: () => number;
  busResets: boolean[];
} {
  const topology = new Topology(
    testMachine(
      [
        testBridge('0000:00:01.0', 'root-port', [1, 8]),
        testFunction('0000:01:00.0', 'endpoint', {
          vendor: 0x10de,
          device: 0x2684,
          class: 0x030000,
          pm: true,
          flr: true,
          ...more,
        }),
      ],
      { hostBridges: [testHostBridge(0, hostBridge)] },
    ),
  );
  const fn = topology.function('01:00.0');
  const p = functionStates(machine, topology.functions.length) + fn.index * FunctionStruct.$words;
  let changes = 0;
  const busResets: boolean[] = [];
  const at = configSpaceAt(machine, topology.functions.length, fn.index);
  const config: ConfigSpace = new ConfigSpace(machine, fn, p, at, {
    routesChanged: () => {
      changes++;
    },
    flr: () => reset.functionLevelReset(),
    busReset: (on) => busResets.push(on),
    sriovChanged: () => {},
    interruptsChanged: () => {},
    cleared: () => {},
    restored: () => {},
  });
  const reset: FunctionReset = new FunctionReset(machine, config, p, fn.description.flr ? ['flr'] : []);
  config.initialise(command, fn.acs !== null && fn.acs !== 'unknown' ? fn.acs.ctrl : null);
  return {
    config,
    reset,
    fn,
    access: () => FunctionStruct.access.load(machine.mem, p),
    routeChanges: () => changes,
    busResets,
  };
}
