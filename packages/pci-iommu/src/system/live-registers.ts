import type { Machine } from '@dmabuf-emu/shm';
import { Access, BridgeRegisters, type ConfigSpace } from '../config-space/index.ts';
import { FunctionRegisters } from '../config-space/function-registers.ts';
import { FunctionStruct } from '../config-space/function-state.ts';
import { describedWindows, type RouteRegisters } from '../dma/index.ts';
import type { TopologyFunction } from '../topology/index.ts';

const F = FunctionStruct;

/**
 * The registers of a running machine that decide where packets go. Windows that are closed and that the description does not
 * have either count as not known.
 * @param stateOf - word of a function's state
 * @param registersAt - word of its configuration space
 * @param configOf - all of it
 */
export function liveRegisters(
  machine: Machine,
  stateOf: (fn: TopologyFunction) => number,
  registersAt: (fn: TopologyFunction) => number,
  configOf: (fn: TopologyFunction) => ConfigSpace,
): RouteRegisters {
  const { mem } = machine;
  const has = (fn: TopologyFunction, bit: number): boolean => (F.access.load(mem, stateOf(fn)) & bit) !== 0;
  const bridgeOf = (fn: TopologyFunction): BridgeRegisters => {
    const registers = new FunctionRegisters(mem, registersAt(fn));
    return new BridgeRegisters((offset, size) => registers.read(offset, size));
  };
  return {
    acs: (fn) => F.acsControl.load(mem, stateOf(fn)),
    egressDenied: (fn, to) => ((configOf(fn).egressVector >>> egressNumber(fn, to)) & 1) !== 0,
    windows: (fn) => {
      const bridge = bridgeOf(fn);
      const open = [bridge.memoryWindow, bridge.prefetchWindow].filter((window) => window !== null);
      if (open.length === 0 && describedWindows(fn) === null) return null;
      return open.map(({ start, end }) => ({ start, end: end + 1 }));
    },
    buses: (fn) => {
      const { secondary, subordinate } = bridgeOf(fn);
      return [secondary, subordinate];
    },
    forwardsDown: (bridge) => has(bridge, Access.DECODE),
    forwardsUp: (bridge) => has(bridge, Access.MASTER),
  };
}

/** Bit of a neighbour in an egress control vector: among ports its device number, else its function number. */
function egressNumber(fn: TopologyFunction, to: TopologyFunction): number {
  return fn.isBridge ? to.slot : to.func;
}
