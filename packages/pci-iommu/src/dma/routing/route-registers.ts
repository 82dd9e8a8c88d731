import { isDecodedMemory, type TopologyFunction } from '../../topology/index.ts';
import type { Span } from './claim-map.ts';

/** The registers that decide where packets go, as they are at the moment. */
export interface RouteRegisters {
  /** ACS control word; 0 without the capability. */
  readonly acs: (fn: TopologyFunction) => number;
  /** Whether a port's egress control vector names another port of the switch, or a function another one of the device. */
  readonly egressDenied: (fn: TopologyFunction, to: TopologyFunction) => boolean;
  /** Memory that a bridge forwards downwards, in bus addresses; `null` when it is not known: whatever is below. */
  readonly windows: (bridge: TopologyFunction) => readonly Span[] | null;
  /** First and last bus behind a bridge. */
  readonly buses: (bridge: TopologyFunction) => readonly [secondary: number, subordinate: number];
  /** Whether a bridge takes memory packets from above: memory is enabled, and it is powered. */
  readonly forwardsDown: (bridge: TopologyFunction) => boolean;
  /** Whether a bridge takes memory packets from below: it may master the bus. */
  readonly forwardsUp: (bridge: TopologyFunction) => boolean;
}

/** What the machine description shows of the registers, with every bridge enabled. */
export const DESCRIBED_REGISTERS: RouteRegisters = {
  acs: (fn) => (fn.acs === null || fn.acs === 'unknown' ? 0 : fn.acs.ctrl),
  egressDenied: () => false,
  windows: describedWindows,
  buses: (bridge) => [bridge.secondary ?? 0, bridge.subordinate ?? 0],
  forwardsDown: () => true,
  forwardsUp: () => true,
};

/** Memory windows of a bridge as described, in bus addresses; `null` when none is. */
export function describedWindows(bridge: TopologyFunction): readonly Span[] | null {
  const memory = bridge.windows.filter(({ kind }) => kind !== 'io');
  if (memory.length === 0) return null;
  return memory.map(({ start, end }) => {
    const offset = bridge.hostBridge.busOffsetAt(start);
    return { start: start + offset, end: end + 1 + offset };
  });
}

/** A decoded memory BAR in bus addresses. */
export interface BusBar extends Span {
  readonly bar: number;
  /** Physical address minus bus address. */
  readonly offset: number;
}

/** The memory BARs of a function in bus addresses. */
export function busBars(fn: TopologyFunction): readonly BusBar[] {
  return fn.bars
    .filter((bar) => isDecodedMemory(bar))
    .map((bar) => {
      const offset = fn.hostBridge.busOffsetAt(bar.start);
      const start = bar.start + offset;
      return { start, end: start + bar.size, bar: bar.index, offset: 0 - offset };
    });
}
