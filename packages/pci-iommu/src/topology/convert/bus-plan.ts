import { busKey, formatBdf, formatBus, parseBdf, requesterIdOf } from '../bdf.ts';
import type { SriovDescription } from '../description/machine-description.ts';
import type { RawBusNumbers, RawFunction } from '../lspci/raw-function.ts';
import { isBridgeKind } from '../pcie-type.ts';
import type { ReadingNotes } from '../read/reading-notes.ts';
import { isRootKind, kindOf } from './function-kind.ts';

const BUS_SIZE = 0x100;
const FUNCTIONS_PER_DOMAIN = 0x1_0000;

/** One bus that no listed bridge leads to. */
interface RootBus {
  readonly domain: number;
  readonly bus: number;
  readonly busEnd: number;
  /** Nothing shows that it is a root bus. */
  readonly assumed: boolean;
}

/** Which buses are root buses, which bridges lead where, who is whose virtual function. */
export interface BusPlan {
  /** Root buses, ascending. */
  readonly roots: readonly RootBus[];
  /** Bus numbers of each bridge that owns a bus. */
  readonly bridges: ReadonlyMap<string, RawBusNumbers>;
  /** Physical function of each virtual function. */
  readonly physfns: ReadonlyMap<string, string>;
  /** SR-IOV capabilities that fit the machine. */
  readonly sriov: ReadonlyMap<string, SriovDescription>;
}

/**
 * Works out the bus tree of a listing.
 *
 * @param functions - in ascending order
 * @param rootBuses - buses (`0000:40`) that the source shows as root buses
 * @throws TopologyError when bus numbers contradict themselves, unless the notes are lenient
 */
export function planBuses(
  functions: readonly RawFunction[],
  rootBuses: ReadonlySet<string>,
  notes: ReadingNotes,
): BusPlan {
  const bridges = configuredBridges(functions, rootBuses, notes);
  const sriov = saneSriov(functions, notes);
  const physfns = virtualFunctions(functions, bridges, sriov);
  const owned = new Set<number>();
  for (const [bdf, bus] of bridges) owned.add(busKey(parseBdf(bdf).domain, bus.secondary));
  const roots = new Map<number, { domain: number; bus: number; busEnd: number; assumed: boolean }>();
  for (const fn of functions) {
    const { domain, bus } = parseBdf(fn.bdf);
    const key = busKey(domain, bus);
    if (owned.has(key) || physfns.has(fn.bdf)) continue;
    const known = bus === 0 || rootBuses.has(formatBus(domain, bus));
    const root = roots.get(key) ?? { domain, bus, busEnd: bus, assumed: !known };
    root.busEnd = Math.max(root.busEnd, bridges.get(fn.bdf)?.subordinate ?? bus);
    root.assumed &&= !isRootKind(kindOf(fn));
    roots.set(key, root);
  }
  const sorted = [...roots.values()].toSorted((a, b) => busKey(a.domain, a.bus) - busKey(b.domain, b.bus));
  return { roots: withoutOverlaps(sorted), bridges, physfns, sriov };
}

/** A root bus inside the range of another may be behind one of its bridges. */
function withoutOverlaps(sorted: readonly RootBus[]): readonly RootBus[] {
  let last: RootBus | null = null;
  return sorted.map((root) => {
    const inside = last !== null && last.domain === root.domain && root.bus <= last.busEnd;
    if (inside) return { ...root, assumed: true };
    if (!root.assumed) last = root;
    return root;
  });
}

/** Bridges with bus numbers; a secondary bus of 0 means that firmware left the bridge unconfigured. */
function configuredBridges(
  functions: readonly RawFunction[],
  rootBuses: ReadonlySet<string>,
  notes: ReadingNotes,
): ReadonlyMap<string, RawBusNumbers> {
  const bridges = new Map<string, RawBusNumbers>();
  const owners = new Map<number, RawFunction>();
  for (const fn of functions) {
    if (fn.bus === null) continue;
    const { domain, bus } = parseBdf(fn.bdf);
    const { secondary, subordinate } = fn.bus;
    const kind = kindOf(fn);
    if (!isBridgeKind(kind)) {
      notes.refuse(`${fn.bdf}: bus numbers ${secondary}..${subordinate}: expected a bridge, got a ${kind}`, fn.line);
      continue;
    }
    if (secondary === 0) {
      notes.warn(`${fn.bdf}: bridge is not configured (secondary bus 0)`, fn.line);
      continue;
    }
    const problem = problemOf(fn.bus, bus, owners.get(busKey(domain, bus)), bridges);
    if (problem !== null) {
      notes.refuse(`${fn.bdf}: bus numbers ${secondary}..${subordinate}: ${problem}`, fn.line);
      continue;
    }
    const key = busKey(domain, secondary);
    const other = owners.get(key);
    if (other !== undefined || rootBuses.has(formatBus(domain, secondary))) {
      const what = other === undefined ? 'the listing shows it as a root bus' : `${other.bdf} leads to it too`;
      notes.warn(`${fn.bdf}: bus numbers left out: bus ${formatBus(domain, secondary)}: ${what}`, fn.line);
      continue;
    }
    owners.set(key, fn);
    bridges.set(fn.bdf, fn.bus);
  }
  return bridges;
}

/** Bus numbers rise on the way down, which the kernel insists on: bridges whose numbers pass form no cycle. */
function problemOf(
  numbers: RawBusNumbers,
  bus: number,
  above: RawFunction | undefined,
  bridges: ReadonlyMap<string, RawBusNumbers>,
): string | null {
  if (numbers.secondary <= bus) return `expected a bus above the bridge's own bus ${bus}`;
  if (numbers.subordinate < numbers.secondary) return 'expected the last bus at or above the first';
  const limit = above === undefined ? undefined : bridges.get(above.bdf)?.subordinate;
  if (above === undefined || limit === undefined || numbers.subordinate <= limit) return null;
  return `expected buses up to ${limit}, as ${above.bdf} above has them`;
}

/** SR-IOV capabilities whose numbers can be: no more VFs than there are names. */
function saneSriov(functions: readonly RawFunction[], notes: ReadingNotes): ReadonlyMap<string, SriovDescription> {
  const sane = new Map<string, SriovDescription>();
  const used = new Map<number, number>();
  for (const fn of functions) {
    if (fn.sriov === null) continue;
    const { domain } = parseBdf(fn.bdf);
    const { numVfs, totalVfs } = fn.sriov;
    const sum = (used.get(domain) ?? 0) + numVfs;
    if (numVfs > totalVfs || sum > FUNCTIONS_PER_DOMAIN) {
      const most = Math.min(totalVfs, FUNCTIONS_PER_DOMAIN);
      notes.refuse(`${fn.bdf}: SR-IOV: expected at most ${most} virtual functions, got ${numVfs}`, fn.line);
      continue;
    }
    used.set(domain, sum);
    sane.set(fn.bdf, fn.sriov);
  }
  return sane;
}

function virtualFunctions(
  functions: readonly RawFunction[],
  bridges: ReadonlyMap<string, RawBusNumbers>,
  sriov: ReadonlyMap<string, SriovDescription>,
): ReadonlyMap<string, string> {
  const candidates = new Set(functions.map((fn) => fn.bdf).filter((bdf) => !bridges.has(bdf) && !sriov.has(bdf)));
  const physfns = new Map<string, string>();
  for (const { bdf, physfn } of functions) {
    if (physfn !== undefined && candidates.has(bdf) && (candidates.has(physfn) || sriov.has(physfn)))
      physfns.set(bdf, physfn);
  }
  for (const [owner, { numVfs, vfOffset, vfStride }] of sriov) {
    const parts = parseBdf(owner);
    for (let vf = 0; vf < numVfs; vf++) {
      const id = requesterIdOf(parts) + vfOffset + vf * vfStride;
      const bus = Math.floor(id / BUS_SIZE);
      if (bus >= BUS_SIZE) break;
      const bdf = formatBdf({ domain: parts.domain, bus, slot: (id >> 3) & 0x1f, func: id & 0x7 });
      if (candidates.has(bdf) && !physfns.has(bdf)) physfns.set(bdf, owner);
    }
  }
  return physfns;
}
