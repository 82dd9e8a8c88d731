import { bdfKey, busKey, formatBus, parseBdf } from '../bdf.ts';
import {
  type BarDescription,
  type FunctionDescription,
  type HostBridgeDescription,
  MACHINE_SCHEMA,
  type MachineDescription,
} from '../description/machine-description.ts';
import { checkMachineDescription } from '../description/parse-machine.ts';
import type { RawFunction } from '../lspci/raw-function.ts';
import { isBridgeKind, pcieTypeOfKind } from '../pcie-type.ts';
import { type BusPlan, planBuses } from './bus-plan.ts';
import { convertBars, convertRom, withoutOverlaps } from './convert-bars.ts';
import type { Conversion, ConvertOptions } from './convert-options.ts';
import { cpuOfListing } from './cpu-of-listing.ts';
import { kindOf } from './function-kind.ts';
import { coveringWindows } from './host-windows.ts';

/**
 * A machine description from listed functions. Nothing is guessed: unknown ids are `null`, unknown ACS is `'unknown'`,
 * BARs without size are left out, and the warnings say so.
 *
 * @throws TopologyError when the listing contradicts itself
 */
export function describeFunctions(
  listed: readonly RawFunction[],
  options: ConvertOptions,
): Conversion<MachineDescription> {
  const warnings: string[] = [];
  const sorted = listed.toSorted((a, b) => bdfKey(parseBdf(a.bdf)) - bdfKey(parseBdf(b.bdf)));
  const plan = planBuses(sorted, warnings);
  const bars = withoutOverlaps(new Map(sorted.map((fn) => [fn.bdf, convertBars(fn, warnings)])), warnings);
  const functions = sorted.map((fn) => describeFunction(fn, plan, bars.get(fn.bdf) ?? []));
  warnUnknown(sorted, warnings);
  const description: MachineDescription = {
    schema: MACHINE_SCHEMA,
    name: options.name,
    title: options.title ?? options.name,
    cpu: options.cpu ?? cpuOfListing(sorted, warnings),
    hostBridges: describeHostBridges(functions, plan, options),
    functions,
  };
  checkMachineDescription(description);
  return { description, warnings };
}

function describeFunction(fn: RawFunction, plan: BusPlan, bars: readonly BarDescription[]): FunctionDescription {
  const physfn = plan.physfns.get(fn.bdf);
  const kind = physfn === undefined ? kindOf(fn) : 'vf';
  const bus = isBridgeKind(kind) ? plan.bridges.get(fn.bdf) : undefined;
  const rom = convertRom(fn);
  // A window at 0 is a pair of registers that nobody wrote.
  const windows = fn.windows.filter((window) => window.start > 0);
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
    flr: fn.flr === true,
    pm: fn.pm === true,
    ...(fn.ats === null ? {} : { ats: fn.ats }),
    ...(fn.command === null ? {} : { command: fn.command }),
    ...(fn.numaNode === null ? {} : { numaNode: fn.numaNode }),
    ...(physfn === undefined ? {} : { physfn }),
    ...(fn.sriov === null ? {} : { sriov: fn.sriov }),
  };
}

function describeHostBridges(
  functions: readonly FunctionDescription[],
  plan: BusPlan,
  options: ConvertOptions,
): readonly HostBridgeDescription[] {
  const below = groupByRoot(functions, plan);
  return plan.roots.map((root) => {
    const key = busKey(root.domain, root.bus);
    const members = below.get(key) ?? [];
    const onRootBus = (fn: FunctionDescription): boolean => parseBdf(fn.bdf).bus === root.bus;
    const given = options.hostWindows?.[formatBus(root.domain, root.bus)];
    return {
      domain: root.domain,
      bus: root.bus,
      busEnd: root.busEnd,
      windows: given ?? coveringWindows(members, onRootBus),
    };
  });
}

/** Functions by root bus, found by walking up. */
function groupByRoot(
  functions: readonly FunctionDescription[],
  plan: BusPlan,
): ReadonlyMap<number, readonly FunctionDescription[]> {
  const owners = new Map<number, string>();
  for (const [bdf, bus] of plan.bridges) owners.set(busKey(parseBdf(bdf).domain, bus.secondary), bdf);
  const groups = new Map<number, FunctionDescription[]>();
  for (const fn of functions) {
    const key = rootOf(fn.physfn ?? fn.bdf, owners, functions.length);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [fn]);
    else group.push(fn);
  }
  return groups;
}

function rootOf(bdf: string, owners: ReadonlyMap<number, string>, limit: number): number {
  let parts = parseBdf(bdf);
  for (let step = 0; step <= limit; step++) {
    const owner = owners.get(busKey(parts.domain, parts.bus));
    if (owner === undefined) break;
    parts = parseBdf(owner);
  }
  return busKey(parts.domain, parts.bus);
}

function warnUnknown(functions: readonly RawFunction[], warnings: string[]): void {
  const count = (test: (fn: RawFunction) => boolean, sentence: string): void => {
    const found = functions.filter((fn) => test(fn));
    const first = found[0];
    if (first !== undefined) {
      warnings.push(`${sentence} of ${found.length} of ${functions.length} functions (${first.bdf}, ...)`);
    }
  };
  count((fn) => fn.vendor === null || fn.device === null, 'ids (use lspci -nn) not listed');
  count((fn) => fn.class === null, 'class not listed');
  count((fn) => fn.acs === 'unknown', 'ACS (use lspci -vvv as root) not listed');
  count((fn) => fn.flr === null && fn.pcieType !== null, 'function level reset not listed, taken as absent,');
  count((fn) => fn.bars.some((bar) => bar.index === null), 'BAR numbers (use lspci -vv) not listed, taken in order,');
  count((fn) => hasOtherBusAddress(fn), 'BAR registers differ from the physical addresses');
}

function hasOtherBusAddress(fn: RawFunction): boolean {
  return fn.bars.some((bar) => {
    if (bar.address === null || bar.kind === 'io' || bar.flags.length > 0) return false;
    const register = fn.barRegisters?.find((candidate) => candidate.index === bar.index);
    return register !== undefined && register.address !== bar.address;
  });
}
