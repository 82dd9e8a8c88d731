import { AcsBit } from '../acs.ts';
import type { Bdf } from '../bdf.ts';
import { coveringWindows } from '../convert/host-windows.ts';
import type {
  BarDescription,
  FunctionDescription,
  HostBridgeDescription,
  HostWindowDescription,
  MachineDescription,
} from '../description/machine-description.ts';
import { checkMachineDescription } from '../description/parse-machine.ts';
import { Topology } from '../tree/topology.ts';
import type { TopologyFunction } from '../tree/topology-function.ts';
import type { HostBridge } from '../tree/host-bridge.ts';
import { assumedBars, type BarShape } from './assumed-bars.ts';
import { tellAssumptions } from './assumptions.ts';
import { BarPlacer, type Placement } from './bar-placer.ts';
import { sizeBars } from './size-bars.ts';

/** A fact that the source of a description did not tell; `null` for one of the whole machine. */
export interface UnknownFact {
  readonly bdf: Bdf | null;
  readonly what: string;
}

/** A machine on which traffic can run, and what was made up for that, one sentence each. */
export interface CompletedMachine {
  readonly description: MachineDescription;
  readonly assumptions: readonly string[];
}

/**
 * Makes a machine that can run out of one of which not everything is known: BARs that are not known are taken by class and
 * get addresses in free places, with windows of bridges and host bridges around them, also sizes alone; ACS that is not known
 * is taken as absent. What is known stays as it is, and ids and classes that are not known stay so.
 *
 * @param unknowns - of a reading; functions named here with `bars` get assumed ones
 * @throws TopologyError when the description contradicts itself
 * @example
 * const { description, unknowns } = readMachineFile('lspci-tv.txt');
 * const { description: runnable, assumptions } = completeMachine(description, unknowns);
 */
export function completeMachine(description: MachineDescription, unknowns: readonly UnknownFact[]): CompletedMachine {
  const given = new Topology(description);
  const sized = sizeBars(given);
  const topology = new Topology(withSizes(given, sized));
  const placement = new BarPlacer(topology, wantedBars(topology, unknowns));
  const completed: MachineDescription = {
    ...topology.description,
    hostBridges: topology.description.hostBridges.map((bridge) => ({
      ...bridge,
      windows: [...bridge.windows, ...newWindowsOf(topology, placement, bridge)],
    })),
    functions: topology.description.functions.map(({ bdf }) => completeFunction(topology.function(bdf), placement)),
  };
  checkMachineDescription(completed);
  return { description: completed, assumptions: tellAssumptions(given, sized, placement) };
}

/** The machine with sized BARs, and host bridge windows around those that are in none. */
function withSizes(
  topology: Topology,
  sized: ReadonlyMap<TopologyFunction, readonly BarDescription[]>,
): MachineDescription {
  const functions = topology.description.functions.map((fn) => {
    const bars = sized.get(topology.function(fn.bdf));
    return bars === undefined ? fn : { ...fn, bars };
  });
  const hostBridges = topology.description.hostBridges.map((bridge) => {
    const below = functions.filter((fn) => isBelow(topology.function(fn.bdf).hostBridge, bridge));
    const stray = coveringWindows(below, () => false).filter(
      ({ start, end }) => !bridge.windows.some((window) => start >= window.start && end <= window.end),
    );
    return bridge.windows.length === 0 || stray.length === 0
      ? bridge
      : { ...bridge, windows: [...bridge.windows, ...stray] };
  });
  return { ...topology.description, hostBridges, functions };
}

function isBelow(hostBridge: HostBridge, { domain, bus }: HostBridgeDescription): boolean {
  return hostBridge.domain === domain && hostBridge.bus === bus;
}

function wantedBars(
  topology: Topology,
  unknowns: readonly UnknownFact[],
): ReadonlyMap<TopologyFunction, readonly BarShape[]> {
  const named = new Set(unknowns.filter((unknown) => unknown.what === 'bars').map((unknown) => unknown.bdf));
  const bare = topology.functions.filter((fn) => fn.bars.length === 0 && (named.has(null) || named.has(fn.bdf)));
  return new Map(bare.map((fn) => [fn, assumedBars(fn)]));
}

function newWindowsOf(
  topology: Topology,
  placement: Placement,
  described: HostBridgeDescription,
): readonly HostWindowDescription[] {
  const bridge = topology.hostBridges.find((candidate) => isBelow(candidate, described));
  const added = bridge === undefined ? [] : (placement.hostWindows.get(bridge) ?? []);
  if (added.length === 0 || described.windows.length > 0) return added;
  // Once a host bridge has windows, every BAR below has to be in one.
  const below = topology.functions.filter((fn) => fn.hostBridge === bridge).map((fn) => fn.description);
  return [...coveringWindows(below, () => false), ...added];
}

function completeFunction(fn: TopologyFunction, placement: Placement): FunctionDescription {
  const bars = placement.bars.get(fn) ?? [];
  const windows = placement.bridgeWindows.get(fn) ?? [];
  return {
    ...withKnownAcs(fn.description),
    ...(bars.length === 0 ? {} : { bars: [...fn.bars, ...bars].toSorted((a, b) => a.index - b.index) }),
    ...(windows.length === 0 ? {} : { windows: [...fn.windows, ...windows] }),
  };
}

/** What every port with the capability can do. */
const USUAL_ACS =
  AcsBit.SourceValidation |
  AcsBit.TranslationBlocking |
  AcsBit.RequestRedirect |
  AcsBit.CompletionRedirect |
  AcsBit.UpstreamForwarding;

function withKnownAcs(description: FunctionDescription): FunctionDescription {
  if (description.acs !== 'unknown') return description;
  const { acsListed, acsControlIfAny = 0, ...known } = description;
  return { ...known, acs: acsListed === true ? { cap: USUAL_ACS | acsControlIfAny, ctrl: acsControlIfAny } : null };
}
