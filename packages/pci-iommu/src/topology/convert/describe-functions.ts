import { bdfKey, busKey, formatBus, parseBdf } from '../bdf.ts';
import {
  type BarDescription,
  type FunctionDescription,
  type HostBridgeDescription,
  MACHINE_SCHEMA,
  type MachineDescription,
} from '../description/machine-description.ts';
import { describeConfig } from '../description/config-runs.ts';
import { checkMachineDescription } from '../description/parse-machine.ts';
import type { RawFunction } from '../lspci/raw-function.ts';
import { isBridgeKind, pcieTypeOfKind } from '../pcie-type.ts';
import { ReadingNotes } from '../read/reading-notes.ts';
import { unknownsOf } from '../read/unknowns.ts';
import { TopologyError } from '../topology-error.ts';
import { type BusPlan, planBuses } from './bus-plan.ts';
import { convertBars, convertRom, withoutOverlaps } from './convert-bars.ts';
import type { Conversion, ConvertOptions } from './convert-options.ts';
import { cpuOfListing } from './cpu-of-listing.ts';
import { kindOf } from './function-kind.ts';
import { coveringWindows, offsetEvidence, withOffsets, withoutSharedWindows, withStrays } from './host-windows.ts';
import { noteUnlisted } from './unlisted.ts';

const MAX_NUMA_NODE = 0xffff;
const FUNCTION_PATH = /^functions\[(\d+)\]/u;

/**
 * A machine description from listed functions. Nothing is guessed: unknown ids are `null`, unknown ACS is `'unknown'`,
 * BARs without size have none, and the unknowns say so.
 *
 * @throws TopologyError with the line of the function, when the listing contradicts itself
 */
export function describeFunctions(listed: readonly RawFunction[], options: ConvertOptions): Conversion {
  const notes = new ReadingNotes(options.lenient === true);
  const sorted = listed.toSorted((a, b) => bdfKey(parseBdf(a.bdf)) - bdfKey(parseBdf(b.bdf)));
  const plan = planBuses(sorted, options.rootBuses ?? new Set(), notes);
  const bars = withoutOverlaps(new Map(sorted.map((fn) => [fn.bdf, convertBars(fn, notes)])), notes);
  const functions = sorted.map((fn) => describeFunction(fn, plan, bars.get(fn.bdf) ?? []));
  const description: MachineDescription = {
    schema: MACHINE_SCHEMA,
    name: options.name,
    title: options.title ?? options.name,
    cpu: options.cpu ?? cpuOfListing(sorted, notes),
    hostBridges: describeHostBridges(sorted, functions, plan, options, notes),
    functions,
  };
  check(description, sorted);
  noteUnlisted(sorted, description, options, notes);
  return { description, unknowns: [...notes.unknowns, ...unknownsOf(description)], warnings: notes.warnings };
}

function check(description: MachineDescription, sorted: readonly RawFunction[]): void {
  try {
    checkMachineDescription(description);
  } catch (error) {
    const index = error instanceof TopologyError ? FUNCTION_PATH.exec(error.path)?.[1] : undefined;
    const fn = index === undefined ? undefined : sorted[Number(index)];
    if (!(error instanceof TopologyError) || fn === undefined || fn.line === 0) throw error;
    throw new TopologyError(`${fn.bdf}: ${error.problem}`, { line: fn.line });
  }
}

function describeFunction(fn: RawFunction, plan: BusPlan, bars: readonly BarDescription[]): FunctionDescription {
  const physfn = plan.physfns.get(fn.bdf);
  const kind = physfn === undefined ? kindOf(fn) : 'vf';
  const bus = isBridgeKind(kind) ? plan.bridges.get(fn.bdf) : undefined;
  const rom = convertRom(fn);
  const sriov = plan.sriov.get(fn.bdf);
  // A window at 0 is a pair of registers that nobody wrote.
  const windows = fn.windows.filter((window) => window.start > 0 && Number.isSafeInteger(window.end));
  const control = fn.acs === 'unknown' ? fn.acsControlIfAny : null;
  return {
    bdf: fn.bdf,
    vendor: fn.vendor,
    device: fn.device,
    class: fn.class,
    kind,
    ...(fn.pcieType === pcieTypeOfKind(kind) ? {} : { pcieType: fn.pcieType }),
    ...(fn.multifunction === null ? {} : { multifunction: fn.multifunction }),
    ...(bus === undefined ? {} : { secondary: bus.secondary, subordinate: bus.subordinate }),
    bars,
    ...(rom === null ? {} : { rom }),
    ...(isBridgeKind(kind) && windows.length > 0 ? { windows } : {}),
    acs: fn.acs,
    ...(control === null ? {} : { acsControlIfAny: control }),
    ...(fn.acs === 'unknown' && fn.acsListed ? { acsListed: true } : {}),
    flr: fn.flr === true,
    pm: fn.pm === true,
    ...(fn.ats === null ? {} : { ats: fn.ats }),
    ...(fn.command === null ? {} : { command: fn.command }),
    ...(fn.numaNode === null || fn.numaNode > MAX_NUMA_NODE ? {} : { numaNode: fn.numaNode }),
    ...(physfn === undefined ? {} : { physfn }),
    ...(sriov === undefined ? {} : { sriov }),
    ...(fn.config === null ? {} : { config: describeConfig(fn.config) }),
  };
}

function describeHostBridges(
  listed: readonly RawFunction[],
  functions: readonly FunctionDescription[],
  plan: BusPlan,
  options: ConvertOptions,
  notes: ReadingNotes,
): readonly HostBridgeDescription[] {
  const below = indicesByRoot(functions, plan);
  const bridges = plan.roots.map(({ domain, bus, busEnd, assumed }) => {
    const indices = below.get(busKey(domain, bus)) ?? [];
    const members = indices.flatMap((index) => functions[index] ?? []);
    const evidence = indices.flatMap((index) => listed[index] ?? []).flatMap((fn) => offsetEvidence(fn));
    const told = options.hostWindows?.[formatBus(domain, bus)] ?? [];
    const windows =
      told.length > 0
        ? withStrays(told, members, notes)
        : coveringWindows(members, (fn) => parseBdf(fn.bdf).bus === bus);
    return {
      domain,
      bus,
      busEnd,
      windows: withOffsets(windows, evidence, notes),
      ...(assumed ? { assumed } : {}),
    };
  });
  return withoutSharedWindows(bridges, notes);
}

/** Indices of functions by root bus, found by walking up. */
function indicesByRoot(
  functions: readonly FunctionDescription[],
  plan: BusPlan,
): ReadonlyMap<number, readonly number[]> {
  const owners = new Map<number, string>();
  for (const [bdf, bus] of plan.bridges) owners.set(busKey(parseBdf(bdf).domain, bus.secondary), bdf);
  const groups = new Map<number, number[]>();
  functions.forEach((fn, index) => {
    const key = rootOf(fn.physfn ?? fn.bdf, owners);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [index]);
    else group.push(index);
  });
  return groups;
}

function rootOf(bdf: string, owners: ReadonlyMap<number, string>): number {
  let parts = parseBdf(bdf);
  for (;;) {
    const owner = owners.get(busKey(parts.domain, parts.bus));
    if (owner === undefined) return busKey(parts.domain, parts.bus);
    parts = parseBdf(owner);
  }
}
