import { type Bdf, bdfKey, busKey, formatBdf, formatBus, parseBdf, tryParseBdf } from '../bdf.ts';
import type { FunctionDescription, MachineDescription } from '../description/machine-description.ts';
import { parseMachineDescription } from '../description/parse-machine.ts';
import { TopologyError } from '../topology-error.ts';
import { type BarHit, BarIndex, type BarOwner } from './bar-index.ts';
import { HostBridge } from './host-bridge.ts';
import { nearestNames } from './nearest-names.ts';
import { TopologyFunction } from './topology-function.ts';

const LAST_BUS = 0xff;

/** A host bridge's memory window, in physical and in bus addresses. Both ends inclusive. */
export interface MemoryWindow {
  readonly hostBridge: HostBridge;
  readonly start: number;
  readonly end: number;
  readonly busStart: number;
  readonly busEnd: number;
  /** Bus address minus physical address. */
  readonly busOffset: number;
}

/**
 * The PCI tree of a machine: host bridges, buses, functions and where their BARs are.
 *
 * Immutable, and a pure function of the description: every thread that builds one from the same description gets the
 * same indices.
 *
 * @example
 * const topology = new Topology(builtinMachine('genoa-4gpu'));
 * const gpu = topology.function('41:00.0');
 * topology.pathToRoot(gpu).map(String); // ['0000:41:00.0', '0000:40:01.1']
 */
export class Topology {
  readonly description: MachineDescription;
  readonly hostBridges: readonly HostBridge[];
  /** All functions; `functions[i].index === i`. */
  readonly functions: readonly TopologyFunction[];
  readonly #byKey = new Map<number, TopologyFunction>();
  readonly #byBus = new Map<number, TopologyFunction[]>();
  readonly #bars: BarIndex;
  #virtual: ReadonlyMap<TopologyFunction, readonly TopologyFunction[]> | null = null;

  /**
   * @param description - a machine description; it is checked first
   * @throws TopologyError when the description contradicts itself
   */
  constructor(description: MachineDescription) {
    this.description = parseMachineDescription(description);
    this.hostBridges = buildHostBridges(this.description);
    this.functions = this.#buildFunctions();
    this.#bars = new BarIndex(this.functions);
  }

  /** Whether there is a function of this name. */
  has(bdf: string): boolean {
    return this.find(bdf) !== undefined;
  }

  /** The function of this name, or `undefined`. The domain may be left out (0). */
  find(bdf: string): TopologyFunction | undefined {
    const parts = tryParseBdf(bdf);
    return parts === undefined ? undefined : this.#byKey.get(bdfKey(parts));
  }

  /**
   * The function of this name. The domain may be left out (0).
   *
   * @throws TopologyError when there is none; the message names the nearest ones
   */
  function(bdf: string): TopologyFunction {
    const parts = parseBdf(bdf);
    const found = this.#byKey.get(bdfKey(parts));
    if (found !== undefined) return found;
    const near = nearestNames(
      formatBdf(parts),
      this.functions.map((fn) => fn.bdf),
    );
    throw new TopologyError(
      `no function ${formatBdf(parts)} in machine ${this.description.name} (${this.functions.length} functions); near it: ${near.join(', ')}`,
    );
  }

  /** Functions on one bus, in order of device and function number. */
  functionsOnBus(domain: number, bus: number): readonly TopologyFunction[] {
    return this.#byBus.get(busKey(domain, bus)) ?? [];
  }

  /** The function with this requester id, or `undefined`. */
  byRequesterId(domain: number, requesterId: number): TopologyFunction | undefined {
    return this.#byKey.get(domain * 0x1_0000 + requesterId);
  }

  /** Functions on a host bridge's root bus, in the order of the kernel's scan. */
  rootBusFunctions(hostBridge: HostBridge): readonly TopologyFunction[] {
    return this.functionsOnBus(hostBridge.domain, hostBridge.bus);
  }

  /** Functions on the bus right behind a bridge. */
  children(bridge: TopologyFunction): readonly TopologyFunction[] {
    return bridge.secondary === null ? [] : this.functionsOnBus(bridge.domain, bridge.secondary);
  }

  /** The virtual functions of a physical function. */
  virtualFunctions(physfn: TopologyFunction): readonly TopologyFunction[] {
    this.#virtual ??= byPhysicalFunction(this.functions);
    return this.#virtual.get(physfn) ?? [];
  }

  /**
   * The next bridge on the way to the root; `null` on a root bus. A VF's way is that of its physical function.
   *
   * @kernel pci_upstream_bridge
   */
  upstreamBridge(fn: TopologyFunction): TopologyFunction | null {
    return (fn.physfn ?? fn).bridge;
  }

  hostBridgeOf(fn: TopologyFunction): HostBridge {
    return fn.hostBridge;
  }

  /** The function itself, then every bridge up to the root bus. */
  pathToRoot(fn: TopologyFunction): readonly TopologyFunction[] {
    const path: TopologyFunction[] = [];
    for (let step: TopologyFunction | null = fn; step !== null; step = this.upstreamBridge(step)) path.push(step);
    return path;
  }

  /** Number of functions from this one to the root bus, itself included: 1 on a root bus. */
  depth(fn: TopologyFunction): number {
    return this.pathToRoot(fn).length;
  }

  /** The first function that both paths to the root share, or `null`. For one function it is the function itself. */
  commonBridge(a: TopologyFunction, b: TopologyFunction): TopologyFunction | null {
    const above = new Set(this.pathToRoot(b));
    return this.pathToRoot(a).find((step) => above.has(step)) ?? null;
  }

  /** Memory windows of all host bridges, or of one, in physical and bus addresses. */
  memoryWindows(hostBridge?: HostBridge): readonly MemoryWindow[] {
    const bridges = hostBridge === undefined ? this.hostBridges : [hostBridge];
    return bridges.flatMap((bridge) =>
      bridge.windows.map((window) => ({
        hostBridge: bridge,
        start: window.start,
        end: window.end,
        busStart: window.start + window.busOffset,
        busEnd: window.end + window.busOffset,
        busOffset: window.busOffset,
      })),
    );
  }

  /** All decoded memory BARs in ascending order of physical address. */
  get memoryBars(): readonly BarOwner[] {
    return this.#bars.owners;
  }

  /** The memory BAR that holds a physical address, or `null`. */
  barAt(physical: number): BarHit | null {
    return this.#bars.find(physical);
  }

  /** The bus address under which functions below a host bridge see a physical address. @kernel pcibios_resource_to_bus */
  busAddress(hostBridge: HostBridge, physical: number): number {
    return physical + hostBridge.busOffsetAt(physical);
  }

  /** The physical address behind a bus address seen below a host bridge. @kernel pcibios_bus_to_resource */
  physicalAddress(hostBridge: HostBridge, busAddress: number): number {
    return busAddress - (hostBridge.windowOfBusAddress(busAddress)?.busOffset ?? 0);
  }

  #buildFunctions(): readonly TopologyFunction[] {
    const sorted = this.description.functions.toSorted((a, b) => keyOf(a.bdf) - keyOf(b.bdf));
    const builder = new FunctionBuilder(sorted, this.hostBridges);
    const functions = sorted.map((description) => builder.build(description));
    for (const fn of functions) {
      this.#byKey.set(fn.key, fn);
      const bus = busKey(fn.domain, fn.bus);
      const neighbours = this.#byBus.get(bus);
      if (neighbours === undefined) this.#byBus.set(bus, [fn]);
      else neighbours.push(fn);
    }
    return functions;
  }
}

/** Builds functions so that whatever a function refers to exists before it. */
class FunctionBuilder {
  readonly #built = new Map<Bdf, TopologyFunction>();
  readonly #byBdf = new Map<Bdf, FunctionDescription>();
  readonly #indexOf = new Map<Bdf, number>();
  readonly #bridgeOfBus = new Map<number, FunctionDescription>();
  readonly #slotSizes = new Map<number, number>();
  readonly #hostBridgeOfBus: ReadonlyMap<number, HostBridge>;

  constructor(sorted: readonly FunctionDescription[], hostBridges: readonly HostBridge[]) {
    this.#hostBridgeOfBus = new Map(hostBridges.map((bridge) => [busKey(bridge.domain, bridge.bus), bridge]));
    sorted.forEach((description, index) => {
      const parts = parseBdf(description.bdf);
      this.#byBdf.set(description.bdf, description);
      this.#indexOf.set(description.bdf, index);
      const slot = Math.floor(bdfKey(parts) / 8);
      this.#slotSizes.set(slot, (this.#slotSizes.get(slot) ?? 0) + 1);
      if (description.secondary !== undefined) {
        this.#bridgeOfBus.set(busKey(parts.domain, description.secondary), description);
      }
    });
  }

  build(description: FunctionDescription): TopologyFunction {
    const known = this.#built.get(description.bdf);
    if (known !== undefined) return known;
    const parts = parseBdf(description.bdf);
    const bridge = this.#bridgeOfBus.get(busKey(parts.domain, parts.bus));
    const physfn = description.physfn === undefined ? undefined : this.#byBdf.get(description.physfn);
    const above = bridge === undefined ? null : this.build(bridge);
    const owner = physfn === undefined ? null : this.build(physfn);
    const slot = Math.floor(bdfKey(parts) / 8);
    const fn = new TopologyFunction(description, {
      index: this.#indexOf.get(description.bdf) ?? -1,
      hostBridge: (above ?? owner)?.hostBridge ?? this.#rootOf(parts.domain, parts.bus),
      bridge: above,
      physfn: owner,
      multifunction: description.multifunction ?? (this.#slotSizes.get(slot) ?? 0) > 1,
    });
    this.#built.set(description.bdf, fn);
    return fn;
  }

  #rootOf(domain: number, bus: number): HostBridge {
    const found = this.#hostBridgeOfBus.get(busKey(domain, bus));
    if (found === undefined) throw new TopologyError(`no host bridge with root bus ${formatBus(domain, bus)}`);
    return found;
  }
}

function byPhysicalFunction(
  functions: readonly TopologyFunction[],
): ReadonlyMap<TopologyFunction, readonly TopologyFunction[]> {
  const virtual = new Map<TopologyFunction, TopologyFunction[]>();
  for (const fn of functions) {
    if (fn.physfn === null) continue;
    const siblings = virtual.get(fn.physfn);
    if (siblings === undefined) virtual.set(fn.physfn, [fn]);
    else siblings.push(fn);
  }
  return virtual;
}

function keyOf(bdf: Bdf): number {
  return bdfKey(parseBdf(bdf));
}

function buildHostBridges(machine: MachineDescription): readonly HostBridge[] {
  const sorted = machine.hostBridges.toSorted((a, b) => busKey(a.domain, a.bus) - busKey(b.domain, b.bus));
  return sorted.map((bridge, index) => {
    const next = sorted[index + 1];
    const limit = next !== undefined && next.domain === bridge.domain ? next.bus - 1 : LAST_BUS;
    return new HostBridge(bridge, index, bridge.busEnd ?? limit);
  });
}
