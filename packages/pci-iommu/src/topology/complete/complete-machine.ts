import type { Bdf } from '../bdf.ts';
import { coveringWindows } from '../convert/host-windows.ts';
import type {
  FunctionDescription,
  HostBridgeDescription,
  HostWindowDescription,
  MachineDescription,
} from '../description/machine-description.ts';
import { checkMachineDescription } from '../description/parse-machine.ts';
import { Topology } from '../tree/topology.ts';
import type { TopologyFunction } from '../tree/topology-function.ts';
import { hex } from '../topology-error.ts';
import { assumedBars, type BarShape } from './assumed-bars.ts';
import { BarPlacer, type Placement } from './bar-placer.ts';

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
 * get addresses in free places, with windows of bridges and host bridges around them; ACS that is not known is taken as
 * absent. What is known stays as it is, and ids and classes that are not known stay so.
 *
 * @param unknowns - of a reading; functions named here with `bars` get assumed ones
 * @throws TopologyError when the description contradicts itself
 * @example
 * const { description, unknowns } = readMachineFile('lspci-tv.txt');
 * const { description: runnable, assumptions } = completeMachine(description, unknowns);
 */
export function completeMachine(description: MachineDescription, unknowns: readonly UnknownFact[]): CompletedMachine {
  const assumptions: string[] = [];
  const topology = new Topology(description);
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
  tellBars(placement, assumptions);
  tellRest(topology, assumptions);
  return { description: completed, assumptions };
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
  { domain, bus, windows }: HostBridgeDescription,
): readonly HostWindowDescription[] {
  const bridge = topology.hostBridges.find((candidate) => candidate.domain === domain && candidate.bus === bus);
  const added = bridge === undefined ? [] : (placement.hostWindows.get(bridge) ?? []);
  if (added.length === 0 || windows.length > 0) return added;
  // Once a host bridge has windows, every BAR below has to be in one.
  const below = topology.functions.filter((fn) => fn.hostBridge === bridge).map((fn) => fn.description);
  return [...coveringWindows(below, () => false), ...added];
}

function completeFunction(fn: TopologyFunction, placement: Placement): FunctionDescription {
  const bars = placement.bars.get(fn) ?? [];
  const windows = placement.bridgeWindows.get(fn) ?? [];
  const { acsControlIfAny: _dropped, ...known } = fn.description;
  return {
    ...(fn.acs === 'unknown' ? known : fn.description),
    ...(bars.length === 0 ? {} : { bars: [...fn.bars, ...bars].toSorted((a, b) => a.index - b.index) }),
    ...(windows.length === 0 ? {} : { windows: [...fn.windows, ...windows] }),
    acs: fn.acs === 'unknown' ? null : fn.acs,
  };
}

function tellBars(placement: Placement, assumptions: string[]): void {
  for (const [fn, bars] of placement.bars) {
    for (const { index, size, start, kind } of bars) {
      assumptions.push(`${fn.bdf}: BAR ${index} is taken to be ${kind}, ${sizeText(size)} at ${hex(start)}`);
    }
  }
  for (const { fn, bar } of placement.homeless) {
    assumptions.push(
      `${fn.bdf}: BAR ${bar.index} is left out: no ${sizeText(bar.size)} are free in the windows above it`,
    );
  }
  for (const [hostBridge, windows] of placement.hostWindows) {
    for (const { start, end } of windows) {
      assumptions.push(`host bridge ${hostBridge.name}: is taken to forward ${hex(start)}..${hex(end)}`);
    }
  }
}

function tellRest(topology: Topology, assumptions: string[]): void {
  const withoutAcs = topology.functions.filter((fn) => fn.acs === 'unknown');
  const first = withoutAcs[0];
  if (first !== undefined) {
    const more = withoutAcs.length > 1 ? ` and ${withoutAcs.length - 1} more` : '';
    assumptions.push(`${first.bdf}${more}: ACS is not known and taken to be absent`);
  }
  const { vendor, family } = topology.description.cpu;
  if (family === null && (vendor === 'AMD' || vendor === 'unknown')) {
    assumptions.push(
      `cpu: the family is not known, so host bridges forward peer traffic only where their own ids are enough`,
    );
  }
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

function sizeText(bytes: number): string {
  const unit = Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length - 1);
  return `${bytes / 1024 ** unit} ${UNITS[unit] ?? ''}`;
}
