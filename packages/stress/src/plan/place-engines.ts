import { type P2pdma, P2pMapType, type Topology, type TopologyFunction } from '@dmabuf-emu/pci-iommu';
import { InputError } from '../scenario/problem.ts';
import type { ImporterKind } from '../scenario/scenario.ts';
import { baseClass, isDevice } from './place-exporter.ts';

/** Base classes of the devices whose drivers import like this. */
const CLASSES: Readonly<Record<ImporterKind, readonly number[]>> = {
  odp: [0x02],
  'revocable-pinned': [0x02],
  pinned: [0x02],
  iommufd: [0x01, 0x12],
  gpu: [0x03, 0x12],
  static: [0x04, 0x01, 0x0c],
  rogue: [0x02, 0x03, 0x12, 0x01],
};
/** Classes of devices that do DMA. */
const COMMON = new Set(Object.values(CLASSES).flat());
/** These have a domain, or guilt, of their own: they share a function with nobody. */
const ALONE: readonly ImporterKind[] = ['iommufd', 'rogue'];
const REACH_SCORE = 100;
const FRESH_SCORE = 4;

/** What engines are placed on. */
export interface EngineSite {
  readonly topology: Topology;
  readonly p2p: P2pdma;
  /** Functions of the exporters that importers must reach by peer-to-peer DMA. */
  readonly providers: readonly TopologyFunction[];
  /** Engines may have to share a function where the machine has too few. */
  readonly sharing: boolean;
}

/** Whether an importer's device gets at an exporter's memory: iommufd asks nobody, everybody else the P2PDMA rules. */
export function reaches(p2p: P2pdma, provider: TopologyFunction, fn: TopologyFunction, kind: ImporterKind): boolean {
  return kind === 'iommufd' || p2p.mapType(provider, fn) !== P2pMapType.NOT_SUPPORTED;
}

/**
 * A function for each engine: one of its own, of a fitting class where there is one, able to reach as many exporters as
 * possible, and so that all ways of addressing a peer (by bus address, through the host bridge) occur.
 * @throws InputError when the machine has too few functions, and with `sharing` none for an importer that must be alone.
 */
export function placeEngines(site: EngineSite, kinds: readonly ImporterKind[]): TopologyFunction[] {
  const { topology, p2p, providers, sharing } = site;
  for (const provider of providers) p2p.init(provider);
  const devices = topology.functions.filter((fn) => isDevice(fn) && !providers.includes(fn));
  const ways = (fn: TopologyFunction): P2pMapType[] => providers.map((provider) => p2p.mapType(provider, fn));
  const reach = (fn: TopologyFunction, kind: ImporterKind): number =>
    providers.filter((provider) => reaches(p2p, provider, fn, kind)).length;
  const free = new Set(devices);
  const shareable = new Set<TopologyFunction>();
  const covered = new Set<string>();
  const choose = (among: Iterable<TopologyFunction>, kind: ImporterKind): TopologyFunction | undefined => {
    let best: { fn: TopologyFunction; score: number } | undefined;
    for (const fn of among) {
      const fresh = ways(fn).filter((way, i) => way !== P2pMapType.NOT_SUPPORTED && !covered.has(`${i}:${way}`)).length;
      const classAt = CLASSES[kind].indexOf(baseClass(fn));
      const score =
        REACH_SCORE * reach(fn, kind) +
        (classAt < 0 ? 0 : 8 - classAt) +
        (COMMON.has(baseClass(fn)) ? 1 : 0) +
        (fresh > 0 ? FRESH_SCORE : 0) +
        (fn.description.name === undefined ? 0 : 1);
      if (best === undefined || score > best.score) best = { fn, score };
    }
    return best?.fn;
  };
  const places: TopologyFunction[] = [];
  for (const position of placingOrder(kinds, sharing)) {
    const kind = kinds[position]!;
    const own = choose(free, kind);
    const shared = sharing && !ALONE.includes(kind) ? choose(shareable, kind) : undefined;
    // To reach an exporter is worth more than a function of one's own.
    const better = shared !== undefined && (own === undefined || (reach(own, kind) === 0 && reach(shared, kind) > 0));
    const fn = better ? shared : own;
    if (fn === undefined) throw tooMany(topology, kinds, position, devices.length);
    ways(fn).forEach((way, i) => covered.add(`${i}:${way}`));
    free.delete(fn);
    if (!ALONE.includes(kind)) shareable.add(fn);
    places[position] = fn;
  }
  return places;
}

/** Those that must be alone choose first where functions are short. */
function placingOrder(kinds: readonly ImporterKind[], sharing: boolean): number[] {
  const order = kinds.map((_kind, position) => position);
  if (!sharing) return order;
  const alone = (position: number): number => (ALONE.includes(kinds[position]!) ? 0 : 1);
  return order.toSorted((a, b) => alone(a) - alone(b));
}

function tooMany(topology: Topology, kinds: readonly ImporterKind[], position: number, available: number): InputError {
  return new InputError(`machine ${topology.description.name}`, [
    {
      where: 'importers',
      text:
        `expected at most ${available} importers, got ${kinds.length}: number ${position + 1} (${kinds[position]}) has no ` +
        'PCI function left',
    },
  ]);
}
