import { AcsBit, isDecodedMemory, type Topology, type TopologyFunction } from '../topology/index.ts';

/** A range of bus addresses that a packet finds below the root complex. */
export interface PeerRange {
  readonly start: number;
  /** First address behind the range. */
  readonly end: number;
  /** Function that decodes it; `null` where a bridge forwards it and nobody answers. */
  readonly target: TopologyFunction | null;
  /** Number of the target's BAR; -1 without one. */
  readonly bar: number;
  /** Physical address minus bus address. */
  readonly offset: number;
}

/** Tells the live ACS control word of a function. */
export type AcsControl = (fn: TopologyFunction) => number;

/**
 * Where the memory packets of one function go, as the bridges on its way decide: into a neighbour's window, else up to the
 * root complex. This is what the hardware does; it knows nothing of the kernel's map types.
 */
export class RouteTable {
  /** Disjoint, ascending. */
  readonly ranges: readonly PeerRange[];
  readonly #starts: Float64Array;
  #last: PeerRange | null = null;
  /** The last stretch of addresses found to go up to the root complex. */
  #gapStart = 0;
  #gapEnd = 0;

  constructor(ranges: readonly PeerRange[]) {
    this.ranges = ranges;
    this.#starts = Float64Array.from(ranges, (range) => range.start);
  }

  /** The range that holds a bus address; `null` when the packet goes up to the root complex. */
  find(address: number): PeerRange | null {
    if (address >= this.#gapStart && address < this.#gapEnd) return null;
    const last = this.#last;
    if (last !== null && address >= last.start && address < last.end) return last;
    const i = this.#lastAtOrBelow(address);
    const range = this.ranges[i];
    if (range === undefined || address >= range.end) {
      this.#gapStart = range?.end ?? 0;
      this.#gapEnd = this.ranges[i + 1]?.start ?? Infinity;
      return null;
    }
    this.#last = range;
    return range;
  }

  /** First address above `address` that does not go to the root complex; Infinity when there is none. */
  nextAfter(address: number): number {
    if (address >= this.#gapStart && address < this.#gapEnd) return this.#gapEnd;
    return this.ranges[this.#lastAtOrBelow(address) + 1]?.start ?? Infinity;
  }

  #lastAtOrBelow(address: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#starts[middle]! <= address) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

/**
 * Follows a function's way to the root. A function or port without request redirection lets a packet turn to whatever is
 * beside it on its bus (other functions of the device, other ports of the switch) and to its own BARs; with it, the packet
 * goes up regardless of its address. Functions on a root bus have no neighbours but the root complex.
 */
export function buildRouteTable(topology: Topology, requester: TopologyFunction, acs: AcsControl): RouteTable {
  const redirects = (fn: TopologyFunction): boolean => (acs(fn) & AcsBit.RequestRedirect) !== 0;
  const reached = new Set<TopologyFunction>();
  const passed = new Set<TopologyFunction>([requester]);
  for (let step: TopologyFunction | null = requester; step !== null; step = topology.upstreamBridge(step)) {
    passed.add(step);
    if (redirects(step)) continue;
    reached.add(step);
    const above = topology.upstreamBridge(step);
    if (above === null) continue;
    for (const beside of besideOf(topology, above)) if (!passed.has(beside)) addSubtree(topology, beside, reached);
  }
  return new RouteTable(rangesOf(reached, passed));
}

/** Functions right below a bridge: those on its bus and their virtual functions. */
function besideOf(topology: Topology, bridge: TopologyFunction): TopologyFunction[] {
  return topology.functions.filter((fn) => topology.upstreamBridge(fn) === bridge);
}

function addSubtree(topology: Topology, fn: TopologyFunction, into: Set<TopologyFunction>): void {
  into.add(fn);
  if (fn.isBridge) for (const below of besideOf(topology, fn)) addSubtree(topology, below, into);
}

/** BARs of the reached functions, and what is left of the windows of reached bridges that are not on the packet's way. */
function rangesOf(reached: ReadonlySet<TopologyFunction>, passed: ReadonlySet<TopologyFunction>): PeerRange[] {
  const bars: PeerRange[] = [];
  const windows: PeerRange[] = [];
  for (const fn of reached) {
    for (const bar of fn.bars) {
      if (!isDecodedMemory(bar)) continue;
      const busOffset = fn.hostBridge.busOffsetAt(bar.start);
      const start = bar.start + busOffset;
      bars.push({ start, end: start + bar.size, target: fn, bar: bar.index, offset: -busOffset });
    }
    if (passed.has(fn)) continue;
    for (const window of fn.windows) {
      if (window.kind === 'io') continue;
      const busOffset = fn.hostBridge.busOffsetAt(window.start);
      windows.push({
        start: window.start + busOffset,
        end: window.end + 1 + busOffset,
        target: null,
        bar: -1,
        offset: 0,
      });
    }
  }
  return [...bars, ...uncovered(windows, bars)].toSorted((a, b) => a.start - b.start);
}

/** The parts of `windows` that neither a BAR nor an earlier window covers. */
function uncovered(windows: readonly PeerRange[], bars: readonly PeerRange[]): PeerRange[] {
  const taken = [...bars];
  const left: PeerRange[] = [];
  for (const window of windows) {
    let at = window.start;
    for (const range of taken.toSorted((a, b) => a.start - b.start)) {
      if (range.end <= at || range.start >= window.end) continue;
      if (range.start > at) left.push({ ...window, start: at, end: range.start });
      at = Math.max(at, range.end);
    }
    if (at < window.end) left.push({ ...window, start: at });
    taken.push(window);
  }
  return left;
}

/** Route tables of all functions, built when first needed and again when ACS changed. */
export class Router {
  readonly #topology: Topology;
  readonly #acs: AcsControl;
  readonly #epoch: () => number;
  /** By function index. */
  readonly #tables: ({ readonly epoch: number; readonly table: RouteTable } | undefined)[] = [];

  /** @param epoch - a number that changes when any ACS control word does */
  constructor(topology: Topology, acs: AcsControl, epoch: () => number) {
    this.#topology = topology;
    this.#acs = acs;
    this.#epoch = epoch;
  }

  /** Where the packets of a function go at this moment. */
  tableOf(requester: TopologyFunction): RouteTable {
    const epoch = this.#epoch();
    const known = this.#tables[requester.index];
    if (known !== undefined && known.epoch === epoch) return known.table;
    const table = buildRouteTable(this.#topology, requester, this.#acs);
    this.#tables[requester.index] = { epoch, table };
    return table;
  }
}
