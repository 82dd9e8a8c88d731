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

/**
 * A function of its own for each engine: of a fitting class where there is one, able to reach every exporter, and so that all
 * ways of addressing a peer (by bus address, through the host bridge) occur.
 * @throws InputError when the machine has too few functions.
 */
export function placeEngines(
  topology: Topology,
  p2p: P2pdma,
  kinds: readonly ImporterKind[],
  providers: readonly TopologyFunction[],
): TopologyFunction[] {
  for (const provider of providers) p2p.init(provider);
  const ways = (fn: TopologyFunction): P2pMapType[] => providers.map((provider) => p2p.mapType(provider, fn));
  const free = new Set(topology.functions.filter((fn) => isDevice(fn) && !providers.includes(fn)));
  for (const fn of free) if (ways(fn).includes(P2pMapType.NOT_SUPPORTED)) free.delete(fn);
  const available = free.size;
  const covered = new Set<string>();
  return kinds.map((kind, position) => {
    let best: { fn: TopologyFunction; score: number } | undefined;
    for (const fn of free) {
      const fresh = ways(fn).filter((way, i) => !covered.has(`${i}:${way}`)).length;
      const classAt = CLASSES[kind].indexOf(baseClass(fn));
      const score = (classAt < 0 ? 0 : 8 - classAt) + (fresh > 0 ? 4 : 0) + (fn.description.name === undefined ? 0 : 1);
      if (best === undefined || score > best.score) best = { fn, score };
    }
    if (best === undefined) throw tooMany(topology, kinds, position, available);
    ways(best.fn).forEach((way, i) => covered.add(`${i}:${way}`));
    free.delete(best.fn);
    return best.fn;
  });
}

function tooMany(topology: Topology, kinds: readonly ImporterKind[], position: number, available: number): InputError {
  return new InputError(`machine ${topology.description.name}`, [
    {
      where: 'importers',
      text:
        `expected at most ${available} importers, got ${kinds.length}: number ${position + 1} (${kinds[position]}) has no ` +
        'PCI function left from which the exporters can be reached',
    },
  ]);
}
