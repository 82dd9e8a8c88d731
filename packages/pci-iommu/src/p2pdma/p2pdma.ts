import {
  type AcsState,
  type BarDescription,
  describedAcs,
  isDecodedMemory,
  type Topology,
  type TopologyFunction,
} from '../topology/index.ts';
import { calcMapTypeAndDistance } from './calc-map-type.ts';
import type { WhitelistRow } from './host-bridge-whitelist.ts';
import { P2pMapType } from './map-type.ts';

/**
 * One memory BAR that can be the target of peer-to-peer DMA.
 *
 * @kernel struct p2pdma_provider
 */
export interface P2pProvider {
  readonly owner: TopologyFunction;
  readonly bar: BarDescription;
  /** Bus address minus physical address: add it to a physical address of the BAR to get what a peer must use. */
  readonly busOffset: number;
}

/** A function in the role of a client; `null` stands for a device that is not on PCI. */
export type P2pClient = TopologyFunction | null;

/** How {@link P2pdma} asks and reports. */
export interface P2pdmaOptions {
  /** The live ACS state; by default what the description shows. */
  readonly acs?: AcsState;
  /** Host bridges known to forward; by default the kernel's list. */
  readonly whitelist?: readonly WhitelistRow[];
  /** Told about misuse that the kernel answers with a WARN. */
  readonly warn?: (message: string) => void;
}

/** What the kernel keeps for a function whose BARs may be targets. @kernel struct pci_p2pdma */
interface ProviderState {
  readonly providers: ReadonlyMap<number, P2pProvider>;
  /** Answers by client, keyed by domain << 16 | bus << 8 | devfn; kept until release. */
  readonly mapTypes: Map<number, P2pMapType>;
}

/**
 * Peer-to-peer DMA: who may reach whose BARs, and how.
 *
 * Answers are remembered per provider device until {@link P2pdma.release}: they outlive ACS changes, and a new device
 * at a client's bus address inherits the old one's answer, as in the kernel.
 *
 * @kernel drivers/pci/p2pdma.c
 */
export class P2pdma {
  readonly topology: Topology;
  readonly #acs: AcsState;
  readonly #whitelist: readonly WhitelistRow[] | undefined;
  readonly #warn: (message: string) => void;
  readonly #states = new Map<TopologyFunction, ProviderState>();

  constructor(topology: Topology, options: P2pdmaOptions = {}) {
    this.topology = topology;
    this.#acs = options.acs ?? describedAcs;
    this.#whitelist = options.whitelist;
    this.#warn = options.warn ?? (() => undefined);
  }

  /**
   * Makes a function's memory BARs available as targets. Doing it again changes nothing.
   *
   * @returns `'EOPNOTSUPP'` when the BARs cannot be mapped, else `null`
   * @kernel pcim_p2pdma_init
   */
  init(fn: TopologyFunction): 'EOPNOTSUPP' | null {
    if (fn.description.nonMappableBars === true) return 'EOPNOTSUPP';
    if (!this.#states.has(fn)) {
      this.#states.set(fn, { providers: buildProviders(fn), mapTypes: new Map() });
    }
    return null;
  }

  /** Whether {@link P2pdma.init} was done and not released. */
  isInitialised(fn: TopologyFunction): boolean {
    return this.#states.has(fn);
  }

  /**
   * The provider of one BAR.
   *
   * @returns `null` when the BAR is not memory or cannot be mapped, or (with a warning) before {@link P2pdma.init}
   * @kernel pcim_p2pdma_provider
   */
  provider(fn: TopologyFunction, bar: number): P2pProvider | null {
    const description = fn.bar(bar);
    if (description === undefined || !isDecodedMemory(description)) return null;
    if (fn.description.nonMappableBars === true) return null;
    const state = this.#states.get(fn);
    if (state === undefined) {
      this.#warn(`p2pdma: provider of ${fn.bdf} BAR ${bar} asked for before init`);
      return null;
    }
    return state.providers.get(bar) ?? null;
  }

  /** Forgets a function's providers and remembered answers: its driver is gone. */
  release(fn: TopologyFunction): void {
    this.#states.delete(fn);
  }

  /**
   * How a client must address a provider's BARs. The first answer for a client is remembered.
   *
   * @kernel pci_p2pdma_map_type
   */
  mapType(provider: TopologyFunction, client: P2pClient): P2pMapType {
    const state = this.#states.get(provider);
    if (state === undefined || client === null) return P2pMapType.NOT_SUPPORTED;
    const known = state.mapTypes.get(client.key);
    return known ?? this.#calculate(provider, client).mapType;
  }

  /**
   * Sum of the distances from a provider to all clients; every step is calculated anew and remembered.
   *
   * @param clients - each one's nearest PCI function; `null` when a client has none
   * @returns -1 when there are no clients, when one is not on PCI or when one cannot reach the provider
   * @kernel pci_p2pdma_distance_many
   */
  distanceMany(provider: TopologyFunction, clients: readonly P2pClient[]): number {
    if (clients.length === 0) return -1;
    let total = 0;
    for (const client of clients) {
      if (client === null) return -1;
      const { mapType, distance } = this.#calculate(provider, client);
      if (mapType === P2pMapType.NOT_SUPPORTED) return -1;
      total += distance;
    }
    return total;
  }

  #calculate(provider: TopologyFunction, client: TopologyFunction): { mapType: P2pMapType; distance: number } {
    const result = calcMapTypeAndDistance(this.topology, provider, client, this.#acs, this.#whitelist);
    this.#states.get(provider)?.mapTypes.set(client.key, result.mapType);
    return result;
  }
}

function buildProviders(fn: TopologyFunction): ReadonlyMap<number, P2pProvider> {
  const providers = new Map<number, P2pProvider>();
  for (const bar of fn.bars) {
    if (!isDecodedMemory(bar)) continue;
    providers.set(bar.index, { owner: fn, bar, busOffset: fn.hostBridge.busOffsetAt(bar.start) });
  }
  return providers;
}
