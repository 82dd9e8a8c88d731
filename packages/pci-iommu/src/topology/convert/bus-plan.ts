import { busKey, formatBdf, formatBus, parseBdf, requesterIdOf } from '../bdf.ts';
import type { RawBusNumbers, RawFunction } from '../lspci/raw-function.ts';
import { kindOf } from './function-kind.ts';

const BUS_SIZE = 0x100;

/** Which buses are root buses, which bridges lead where, who is whose virtual function. */
export interface BusPlan {
  /** Root buses, ascending. */
  readonly roots: readonly { readonly domain: number; readonly bus: number; readonly busEnd: number }[];
  /** Bus numbers of each bridge that owns a bus. */
  readonly bridges: ReadonlyMap<string, RawBusNumbers>;
  /** Physical function of each virtual function. */
  readonly physfns: ReadonlyMap<string, string>;
}

/** Works out the bus tree of a listing. */
export function planBuses(functions: readonly RawFunction[], warnings: string[]): BusPlan {
  const bridges = configuredBridges(functions, warnings);
  const physfns = virtualFunctions(functions);
  const owned = new Set<number>();
  for (const [bdf, bus] of bridges) owned.add(busKey(parseBdf(bdf).domain, bus.secondary));
  const roots = new Map<number, { domain: number; bus: number; busEnd: number }>();
  for (const fn of functions) {
    const { domain, bus } = parseBdf(fn.bdf);
    const key = busKey(domain, bus);
    if (owned.has(key) || physfns.has(fn.bdf)) continue;
    const root = roots.get(key) ?? { domain, bus, busEnd: bus };
    root.busEnd = Math.max(root.busEnd, bridges.get(fn.bdf)?.subordinate ?? bus);
    roots.set(key, root);
  }
  const sorted = [...roots.values()].toSorted((a, b) => busKey(a.domain, a.bus) - busKey(b.domain, b.bus));
  for (const root of sorted) {
    if (root.bus !== 0 && !looksLikeRoot(root, functions)) {
      warnings.push(
        `bus ${formatBus(root.domain, root.bus)}: no listed bridge leads to it, so it is taken as a root bus`,
      );
    }
  }
  return { roots: sorted, bridges, physfns };
}

/** Bridges with bus numbers; a secondary bus of 0 means that firmware left the bridge unconfigured. */
function configuredBridges(functions: readonly RawFunction[], warnings: string[]): ReadonlyMap<string, RawBusNumbers> {
  const bridges = new Map<string, RawBusNumbers>();
  const owners = new Map<number, string>();
  for (const fn of functions) {
    if (fn.bus === null) continue;
    if (fn.bus.secondary === 0) {
      warnings.push(`${fn.bdf}: bridge is not configured (secondary bus 0)`);
      continue;
    }
    const { domain } = parseBdf(fn.bdf);
    const key = busKey(domain, fn.bus.secondary);
    const other = owners.get(key);
    if (other !== undefined) {
      warnings.push(
        `${fn.bdf}: bus numbers left out: ${other} leads to bus ${formatBus(domain, fn.bus.secondary)} too`,
      );
      continue;
    }
    owners.set(key, fn.bdf);
    bridges.set(fn.bdf, fn.bus);
  }
  return bridges;
}

function virtualFunctions(functions: readonly RawFunction[]): ReadonlyMap<string, string> {
  const listed = new Set(functions.map((fn) => fn.bdf));
  const physfns = new Map<string, string>();
  for (const fn of functions) {
    if (fn.sriov === null) continue;
    const parts = parseBdf(fn.bdf);
    for (let vf = 0; vf < fn.sriov.numVfs; vf++) {
      const id = requesterIdOf(parts) + fn.sriov.vfOffset + vf * fn.sriov.vfStride;
      const bdf = formatBdf({
        domain: parts.domain,
        bus: Math.floor(id / BUS_SIZE),
        slot: (id >> 3) & 0x1f,
        func: id & 0x7,
      });
      if (listed.has(bdf) && bdf !== fn.bdf) physfns.set(bdf, fn.bdf);
    }
  }
  return physfns;
}

/** Root buses hold host bridges, root ports or integrated endpoints; a lone switch or endpoint is an excerpt. */
function looksLikeRoot(root: { domain: number; bus: number }, functions: readonly RawFunction[]): boolean {
  return functions.some((fn) => {
    const parts = parseBdf(fn.bdf);
    if (parts.domain !== root.domain || parts.bus !== root.bus) return false;
    const kind = kindOf(fn);
    return kind === 'host-bridge' || kind === 'root-port' || kind === 'rciep' || kind === 'rc-event-collector';
  });
}
