import { type Topology, type TopologyFunction } from '../topology/index.ts';
import { IsolationTest, isMultifunction } from './acs-isolation.ts';
import type { AcsSetup } from './acs-setup.ts';
import { DmaAliases } from './dma-aliases.ts';
import { behindIommu } from './iommu-coverage.ts';
import { scanOrder } from './scan-order.ts';

/** Why a function is in a group that was there before it. */
export interface GroupJoin {
  readonly function: TopologyFunction;
  /** The function by which it got there. */
  readonly through: TopologyFunction;
  /** One sentence. */
  readonly text: string;
}

/** Functions that an IOMMU cannot keep apart. */
export interface IommuGroup {
  /** Number in the order of the scan; real kernels may count in another order. */
  readonly id: number;
  readonly functions: readonly TopologyFunction[];
  /** Why each function but the first is in it. */
  readonly joins: readonly GroupJoin[];
  /** What is not known and could make it another group. */
  readonly restsOn: readonly string[];
}

/**
 * The IOMMU groups that the kernel makes. Without an IOMMU there are none.
 *
 * Where it is not known whether a function isolates, it is taken as not isolating; a bus to which no bridge leads is taken as
 * a root bus. `restsOn` tells.
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
    joins: functions.flatMap((fn) => careful.joinOf(fn) ?? []),
    restsOn: [...(hopeful.has(functions) ? [] : careful.unknownsOf(functions)), ...unknownPlaces(functions)],
  }));
}

/** Where a tree is attached of which the description shows no bridge that leads to it. */
function unknownPlaces(functions: readonly TopologyFunction[]): readonly string[] {
  const places = new Set(functions.map((fn) => fn.hostBridge).filter(({ assumed }) => assumed));
  return [...places].map(({ name }) => `the bridge above bus ${name}`);
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
  readonly #joins = new Map<TopologyFunction, GroupJoin>();
  #unknowns = new Set<TopologyFunction>();
  /** The function that is given a place at the moment. */
  #placed: TopologyFunction | null = null;

  constructor(topology: Topology, aliases: DmaAliases, test: IsolationTest, guess: boolean) {
    this.#topology = topology;
    this.#aliases = aliases;
    this.#test = test;
    this.#guess = guess;
    for (const fn of scanOrder(topology)) {
      if (!behindIommu(topology, fn)) continue;
      this.#unknowns = new Set();
      this.#placed = fn;
      const found = this.#find(fn);
      const group = found?.group ?? [];
      if (found === null) this.groups.push(group);
      else this.#joins.set(fn, { function: fn, ...found.join });
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
  unknownsOf(functions: readonly TopologyFunction[]): readonly string[] {
    const asked = new Set(functions.flatMap((fn) => [...(this.#asked.get(fn) ?? [])]));
    return [...asked].map((fn) => `whether ${fn.bdf} isolates`);
  }

  joinOf(fn: TopologyFunction): GroupJoin | undefined {
    return this.#joins.get(fn);
  }

  /** The group that a function joins; `null` when it needs a new one. */
  #find(fn: TopologyFunction): Found | null {
    let at = fn;
    for (const alias of this.#aliases.chain(fn)) {
      at = alias;
      const group = this.#groupOf.get(alias);
      if (group !== undefined) return { group, join: join(alias, `its requests arrive in the name of ${alias.bdf}`) };
    }
    for (let bridge = this.#topology.upstreamBridge(at); bridge !== null;) {
      const open = this.#openUpFrom(bridge);
      if (open === null) break;
      at = bridge;
      const group = this.#groupOf.get(bridge);
      if (group !== undefined) return { group, join: join(open, `${open.bdf} above it ${this.#test.whyNot(open)}`) };
      bridge = this.#topology.upstreamBridge(bridge);
    }
    const seen = new Set<TopologyFunction>();
    return this.#ofAliases(at, seen) ?? this.#ofSlot(at, seen);
  }

  /** The first bridge from here to the root that does not isolate. @kernel pci_acs_path_enabled */
  #openUpFrom(bridge: TopologyFunction): TopologyFunction | null {
    return this.#topology.pathToRoot(bridge).find((step) => !this.#isolates(step)) ?? null;
  }

  /** @kernel get_pci_alias_group */
  #ofAliases(fn: TopologyFunction, seen: Set<TopologyFunction>): Found | null {
    if (seen.has(fn)) return null;
    seen.add(fn);
    const own = this.#groupOf.get(fn);
    if (own !== undefined) return { group: own, join: join(fn, `it is ${fn.bdf}`) };
    for (const other of this.#topology.functionsOnBus(fn.domain, fn.bus)) {
      if (other === fn || !this.#aliases.areAliases(fn, other)) continue;
      const found = this.#ofAliases(other, seen) ?? this.#ofSlot(other, seen);
      if (found !== null)
        return { ...found, join: join(other, `${fn.bdf} and ${other.bdf} use one name for their requests`) };
    }
    return null;
  }

  /** @kernel get_pci_function_alias_group */
  #ofSlot(fn: TopologyFunction, seen: Set<TopologyFunction>): Found | null {
    if (!isMultifunction(fn) || this.#isolates(fn)) return null;
    for (const other of this.#topology.functionsOnBus(fn.domain, fn.bus)) {
      if (other === fn || other.slot !== fn.slot || this.#isolates(other)) continue;
      const found = this.#ofAliases(other, seen);
      const who = fn === this.#placed ? 'it' : fn.bdf;
      const text = `${who} ${this.#test.whyNot(fn)}, nor does ${other.bdf} of the same device`;
      if (found !== null) return { ...found, join: join(other, text) };
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

/** A group and how it was found. */
interface Found {
  readonly group: TopologyFunction[];
  readonly join: Omit<GroupJoin, 'function'>;
}

function join(through: TopologyFunction, text: string): Found['join'] {
  return { through, text };
}
