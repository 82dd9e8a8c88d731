import { PcieType, type Topology, type TopologyFunction } from '../../topology/index.ts';

/** Who is right below whom, worked out once for a topology. */
export class BusTree {
  readonly topology: Topology;
  readonly #below: (readonly TopologyFunction[])[];

  constructor(topology: Topology) {
    this.topology = topology;
    const below: TopologyFunction[][] = topology.functions.map(() => []);
    for (const fn of topology.functions) {
      const bridge = topology.upstreamBridge(fn);
      if (bridge !== null) below[bridge.index]!.push(fn);
    }
    this.#below = below;
  }

  /** Functions on the bus right behind a bridge, and their virtual functions. */
  below(bridge: TopologyFunction): readonly TopologyFunction[] {
    return this.#below[bridge.index]!;
  }

  above(fn: TopologyFunction): TopologyFunction | null {
    return this.topology.upstreamBridge(fn);
  }
}

/**
 * The requester id that a packet carries above a bridge: bridges to conventional buses put their own in its place.
 * @kernel pci_for_each_dma_alias
 */
export function requesterIdAbove(bridge: TopologyFunction, below: number): number {
  switch (bridge.pcieType) {
    case PcieType.PcieToPciBridge:
      return (bridge.secondary ?? 0) << 8;
    case PcieType.PciToPcieBridge:
    case null:
      return bridge.requesterId;
    default:
      return below;
  }
}

/** The requester id by which the root complex knows a function's packets. */
export function requesterIdAtRoot(tree: BusTree, fn: TopologyFunction): number {
  let id = fn.requesterId;
  for (let bridge = tree.above(fn); bridge !== null; bridge = tree.above(bridge)) id = requesterIdAbove(bridge, id);
  return id;
}
