import {
  isDecodedMemory,
  type P2pdma,
  P2pMapType,
  PAGE_SIZE,
  type BarDescription,
  type Topology,
  type TopologyFunction,
} from '@dmabuf-emu/pci-iommu';
import { InputError } from '../scenario/problem.ts';
import type { ExporterKind } from '../scenario/scenario.ts';

/** A function that an exporter runs on, and the BAR that its buffers are in. */
export interface ExporterPlace {
  readonly fn: TopologyFunction;
  readonly bar: BarDescription;
}

const DISPLAY = 0x03;
const NETWORK = 0x02;
const ACCELERATOR = 0x12;
/** Being reachable matters more than anything else. */
const REACH_SCORE = 10_000;

/** Whether engines and exporters can be put on a function. */
export function isDevice(fn: TopologyFunction): boolean {
  return !fn.isBridge && fn.kind !== 'host-bridge' && fn.kind !== 'rc-event-collector';
}

/** Base class: the first byte of the class code. */
export function baseClass(fn: TopologyFunction): number {
  return fn.classCode === null ? -1 : fn.classCode >>> 16;
}

/** Functions that may map the BARs of `provider`, itself left out. */
export function peersOf(topology: Topology, p2p: P2pdma, provider: TopologyFunction): Set<TopologyFunction> {
  p2p.init(provider);
  const reaches = (fn: TopologyFunction): boolean => p2p.mapType(provider, fn) !== P2pMapType.NOT_SUPPORTED;
  return new Set(topology.functions.filter((fn) => fn !== provider && isDevice(fn) && reaches(fn)));
}

/** What an exporter's function must offer. */
export interface ExporterWish {
  readonly kind: ExporterKind;
  /** Pages of one BAR. */
  readonly pages: number;
}

interface Candidate extends ExporterPlace {
  readonly score: number;
  readonly peers: ReadonlySet<TopologyFunction>;
}

/**
 * The best functions for some exporters: such that enough others can reach them all; a GPU or an accelerator with a large BAR
 * for VFIO, a network card for RDMA; else any that have room.
 * @param importers how many others should be able to reach all of them
 * @throws InputError when the machine has no BARs of that size.
 */
export function placeExporters(
  topology: Topology,
  p2p: P2pdma,
  wishes: readonly ExporterWish[],
  importers: number,
): ExporterPlace[] {
  const peers = new Map<TopologyFunction, ReadonlySet<TopologyFunction>>();
  const candidates = wishes.map((wish) =>
    candidatesFor(topology, wish, (fn) => {
      let set = peers.get(fn);
      if (set === undefined) peers.set(fn, (set = peersOf(topology, p2p, fn)));
      return set;
    }),
  );
  let best: { places: Candidate[]; score: number } | undefined;
  const choose = (places: Candidate[]): void => {
    const next = candidates[places.length];
    if (next !== undefined) {
      for (const place of next) if (!places.some(({ fn }) => fn === place.fn)) choose([...places, place]);
      return;
    }
    const fit = places.reduce((sum, { score }) => sum + score, 0);
    const score = fit + REACH_SCORE * Math.min(1, commonPeers(places) / Math.max(1, importers));
    if (best === undefined || score > best.score) best = { places, score };
  };
  choose([]);
  if (best !== undefined) return best.places;
  throw new InputError(`machine ${topology.description.name}`, [
    { where: `exporters`, text: `expected ${wishes.length} functions with memory BARs, one for each exporter` },
  ]);
}

function candidatesFor(
  topology: Topology,
  { kind, pages }: ExporterWish,
  peersOfFunction: (fn: TopologyFunction) => ReadonlySet<TopologyFunction>,
): Candidate[] {
  const found: Candidate[] = [];
  let largest = 0;
  for (const fn of topology.functions) {
    const bar = isDevice(fn) ? largestBar(fn) : undefined;
    if (bar === undefined) continue;
    largest = Math.max(largest, bar.size);
    if (bar.size < pages * PAGE_SIZE) continue;
    found.push({ fn, bar, score: fitness(fn, bar, kind), peers: peersOfFunction(fn) });
  }
  if (found.length > 0) return found;
  const text = `the buffers take ${pages} pages of a BAR, but the largest BAR has ${Math.floor(largest / PAGE_SIZE)}`;
  throw new InputError(`machine ${topology.description.name}`, [{ where: `exporters.${kind}`, text }]);
}

/** Functions that can reach all of some others, which are not among them. */
function commonPeers(places: readonly Candidate[]): number {
  const [first, ...rest] = places;
  let count = 0;
  for (const peer of first?.peers ?? []) {
    if (places.every(({ fn }) => fn !== peer) && rest.every(({ peers }) => peers.has(peer))) count++;
  }
  return count;
}

function largestBar(fn: TopologyFunction): BarDescription | undefined {
  if (fn.description.nonMappableBars === true) return undefined;
  const usable = fn.bars.filter((bar) => isDecodedMemory(bar) && bar.start !== 0);
  return usable.toSorted((a, b) => b.size - a.size)[0];
}

function fitness(fn: TopologyFunction, bar: BarDescription, kind: ExporterKind): number {
  const wanted = kind === 'vfio' ? [DISPLAY, ACCELERATOR] : [NETWORK];
  const unwanted = kind === 'vfio' ? [NETWORK] : [DISPLAY, ACCELERATOR];
  const base = baseClass(fn);
  return (
    (wanted.includes(base) ? 1000 : 0) -
    (unwanted.includes(base) ? 1000 : 0) +
    (fn.description.flr ? 200 : 0) +
    (fn.description.name === undefined ? 0 : 100) +
    (fn.isVirtualFunction ? -500 : 0) +
    Math.log2(bar.size)
  );
}
