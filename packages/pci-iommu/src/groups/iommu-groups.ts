import { type Topology, type TopologyFunction } from '../topology/index.ts';
import { IsolationTest, isMultifunction } from './acs-isolation.ts';
import type { AcsSetup } from './acs-setup.ts';
import { DmaAliases } from './dma-aliases.ts';
import { behindIommu } from './iommu-coverage.ts';
import { scanOrder } from './scan-order.ts';

/** Functions that an IOMMU cannot keep apart. */
export interface IommuGroup {
  /** Number in the order of the scan; real kernels may count in another order. */
  readonly id: number;
  readonly functions: readonly TopologyFunction[];
  /** Functions of which it is not known whether they isolate, where that could change this group. */
  readonly restsOn: readonly TopologyFunction[];
}

/**
 * The IOMMU groups that the kernel makes. Without an IOMMU there are none.
 *
 * Where it is not known whether a function isolates, it is taken as not isolating; `restsOn` tells.
 *
 * @throws TopologyError for parameters in `setup` that cannot be read
 * @kernel pci_device_group
 */
export function iommuGroups(topology: Topology, setup: AcsSetup): readonly IommuGroup[] {
  if (!setup.iommu) return [];
  const test = new IsolationTest(topology, setup);
  const aliases = new DmaAliases(topology);
  const careful = new Grouping(topology, aliases, test, false);
  const hopeful = new Grouping(topology, aliases, test, true);
  return careful.groups.map((functions, id) => ({
    id,
    functions,
    restsOn: hopeful.has(functions) ? [] : careful.unknownsOf(functions),
  }));
}

/** The groups when everything that is not known is the same. */
class Grouping {
  readonly groups: TopologyFunction[][] = [];
  readonly #topology: Topology;
  readonly #aliases: DmaAliases;
  readonly #test: IsolationTest;
  readonly #guess: boolean;
  readonly #groupOf = new Map<TopologyFunction, TopologyFunction[]>();
  readonly #asked = new Map<TopologyFunction, Set<TopologyFunction>>();
  #unknowns = new Set<TopologyFunction>();

  constructor(topology: Topology, aliases: DmaAliases, test: IsolationTest, guess: boolean) {
    this.#topology = topology;
    this.#aliases = aliases;
    this.#test = test;
    this.#guess = guess;
    for (const fn of scanOrder(topology)) {
      if (!behindIommu(topology, fn)) continue;
      this.#unknowns = new Set();
      let group = this.#find(fn);
      if (group === null) this.groups.push((group = []));
      group.push(fn);
      this.#groupOf.set(fn, group);
      this.#asked.set(fn, this.#unknowns);
    }
  }

  /** Whether exactly these functions are a group. */
  has(functions: readonly TopologyFunction[]): boolean {
    const group = this.#groupOf.get(functions[0]!);
    return group?.length === functions.length && functions.every((fn) => this.#groupOf.get(fn) === group);
  }

  /** What was not known where these functions were placed. */
  unknownsOf(functions: readonly TopologyFunction[]): readonly TopologyFunction[] {
    return [...new Set(functions.flatMap((fn) => [...(this.#asked.get(fn) ?? [])]))];
  }

  /** The group that a function joins; `null` when it needs a new one. */
  #find(fn: TopologyFunction): TopologyFunction[] | null {
    let at = fn;
    for (const alias of this.#aliases.chain(fn)) {
      at = alias;
      const group = this.#groupOf.get(alias);
      if (group !== undefined) return group;
    }
    for (let bridge = this.#topology.upstreamBridge(at); bridge !== null;) {
      if (this.#isolatedUpFrom(bridge)) break;
      at = bridge;
      const group = this.#groupOf.get(bridge);
      if (group !== undefined) return group;
      bridge = this.#topology.upstreamBridge(bridge);
    }
    const seen = new Set<TopologyFunction>();
    return this.#ofAliases(at, seen) ?? this.#ofSlot(at, seen);
  }

  /** @kernel pci_acs_path_enabled */
  #isolatedUpFrom(bridge: TopologyFunction): boolean {
    return this.#topology.pathToRoot(bridge).every((step) => this.#isolates(step));
  }

  /** @kernel get_pci_alias_group */
  #ofAliases(fn: TopologyFunction, seen: Set<TopologyFunction>): TopologyFunction[] | null {
    if (seen.has(fn)) return null;
    seen.add(fn);
    const own = this.#groupOf.get(fn);
    if (own !== undefined) return own;
    for (const other of this.#topology.functionsOnBus(fn.domain, fn.bus)) {
      if (other === fn || !this.#aliases.areAliases(fn, other)) continue;
      const group = this.#ofAliases(other, seen) ?? this.#ofSlot(other, seen);
      if (group !== null) return group;
    }
    return null;
  }

  /** @kernel get_pci_function_alias_group */
  #ofSlot(fn: TopologyFunction, seen: Set<TopologyFunction>): TopologyFunction[] | null {
    if (!isMultifunction(fn) || this.#isolates(fn)) return null;
    for (const other of this.#topology.functionsOnBus(fn.domain, fn.bus)) {
      if (other === fn || other.slot !== fn.slot || this.#isolates(other)) continue;
      const group = this.#ofAliases(other, seen);
      if (group !== null) return group;
    }
    return null;
  }

  #isolates(fn: TopologyFunction): boolean {
    const answer = this.#test.isolates(fn);
    if (answer !== 'unknown') return answer;
    this.#unknowns.add(fn);
    return this.#guess;
  }
}
