import {
  formatBdf,
  type FunctionDescription,
  type MachineDescription,
  Topology,
  TopologyError,
  type UnknownFact,
} from '@dmabuf-emu/pci-iommu';

/** A machine with one more card in it. */
export interface PluggedMachine {
  readonly description: MachineDescription;
  /** Facts of the card that are left to whoever completes the machine: its BARs. */
  readonly unknowns: readonly UnknownFact[];
  /** One sentence. */
  readonly note: string;
}

/** What the functions of the card are, by class: enough for the default exporters and importers. */
const CARD = [
  { name: 'card-gpu', class: 0x03_0000 },
  { name: 'card-nic0', class: 0x02_0000 },
  { name: 'card-nic1', class: 0x02_0000 },
  { name: 'card-accelerator', class: 0x12_0000 },
  { name: 'card-nvme', class: 0x01_0802 },
] as const;
const SLOTS = 32;
const LAST_BUS = 0xff;

/**
 * Plugs a card with a GPU, network, accelerator and disk functions into a root port of its own: for machines on which nothing
 * is left that buffers could be shared between.
 * @throws TopologyError when there is no room
 */
export function plugCard(description: MachineDescription): PluggedMachine {
  const topology = new Topology(description);
  const place = freePlace(topology);
  if (place === null) throw new TopologyError(`machine ${description.name} has no free slot and bus for a card`);
  const facts = { vendor: null, device: null, bars: [], acs: null, flr: true, pm: true };
  const { domain, rootBus, slot, bus } = place;
  const port: FunctionDescription = {
    ...facts,
    bdf: formatBdf({ domain, bus: rootBus, slot, func: 0 }),
    class: 0x06_0400,
    kind: 'root-port',
    secondary: bus,
    subordinate: bus,
  };
  const functions = CARD.map((card, func): FunctionDescription => {
    return { ...facts, ...card, bdf: formatBdf({ domain, bus, slot: 0, func }), kind: 'endpoint' };
  });
  const first = functions[0]!.bdf;
  return {
    description: {
      ...description,
      hostBridges: description.hostBridges.map((bridge) =>
        bridge.domain === domain && bridge.bus === rootBus && bridge.busEnd !== undefined
          ? { ...bridge, busEnd: Math.max(bridge.busEnd, bus) }
          : bridge,
      ),
      functions: [...description.functions, port, ...functions],
    },
    unknowns: functions.map(({ bdf }) => ({ bdf, what: 'bars' })),
    note: `a card with ${CARD.length} functions was plugged in at ${first}: the machine has too few to share buffers between`,
  };
}

interface Place {
  readonly domain: number;
  readonly rootBus: number;
  readonly slot: number;
  /** A bus number that is free below the root bus. */
  readonly bus: number;
}

function freePlace(topology: Topology): Place | null {
  for (const { domain, bus: rootBus, busEnd } of topology.hostBridges) {
    const onRoot = new Set(topology.functionsOnBus(domain, rootBus).map(({ slot }) => slot));
    const used = topology.functions.filter((fn) => fn.domain === domain && fn.bus >= rootBus && fn.bus <= busEnd);
    const bus = Math.max(rootBus, ...used.map((fn) => Math.max(fn.bus, fn.subordinate ?? 0))) + 1;
    const taken = topology.hostBridges.some((other) => other.domain === domain && other.bus === bus);
    const slot = Array.from({ length: SLOTS }, (_, i) => i).find((i) => i > 0 && !onRoot.has(i));
    if (slot !== undefined && bus <= LAST_BUS && !taken) return { domain, rootBus, slot, bus };
  }
  return null;
}
