import type { Machine } from '@dmabuf-emu/shm';
import { Access } from '../config-space/index.ts';
import { FunctionStruct } from '../config-space/function-state.ts';
import { describedWindows, type RouteRegisters } from '../dma/index.ts';
import type { TopologyFunction } from '../topology/index.ts';

const F = FunctionStruct;

/** The registers of a running machine that decide where packets go. @param stateOf - word of a function's state */
export function liveRegisters(machine: Machine, stateOf: (fn: TopologyFunction) => number): RouteRegisters {
  const { mem } = machine;
  const has = (fn: TopologyFunction, bit: number): boolean => (F.access.load(mem, stateOf(fn)) & bit) !== 0;
  return {
    acs: (fn) => F.acsControl.load(mem, stateOf(fn)),
    egressDenied: () => false,
    windows: describedWindows,
    buses: (bridge) => [bridge.secondary ?? 0, bridge.subordinate ?? 0],
    forwardsDown: (bridge) => has(bridge, Access.DECODE),
    forwardsUp: (bridge) => has(bridge, Access.MASTER),
  };
}
