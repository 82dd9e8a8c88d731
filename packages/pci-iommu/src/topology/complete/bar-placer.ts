import type {
  BarDescription,
  BridgeWindowDescription,
  HostWindowDescription,
} from '../description/machine-description.ts';
import { isDecodedMemory } from '../description/check-bars.ts';
import type { HostBridge } from '../tree/host-bridge.ts';
import type { TopologyFunction } from '../tree/topology-function.ts';
import type { Topology } from '../tree/topology.ts';
import { type AddressRange, AddressSpace, alignUp } from './address-space.ts';
import { type BarShape, windowKindOf } from './assumed-bars.ts';

/** Bridge windows begin and end at multiples of this. */
const WINDOW_UNIT = 2 ** 20;
const FOUR_GIB = 2 ** 32;

/** Where new host bridge windows are looked for, the first one first. */
const NEW_WINDOWS: Readonly<Record<PlacedKind, readonly AddressRange[]>> = {
  mem: [
    { start: 0x8000_0000, end: 0xfebf_ffff },
    { start: 0x4000_0000, end: 0xfebf_ffff },
  ],
  prefetch: [{ start: 2 ** 40, end: 2 ** 46 - 1 }],
};

/** Kinds of bridge windows that hold memory BARs. */
export type PlacedKind = 'mem' | 'prefetch';

/** What is to be placed as one piece: a BAR, or the window of a bridge with all that goes into it. */
interface Piece {
  readonly size: number;
  readonly align: number;
  readonly fn: TopologyFunction;
  readonly bar: BarShape | null;
  readonly inside: readonly Piece[];
}

/** Addresses for BARs, and the windows that lead to them. */
export interface Placement {
  readonly bars: ReadonlyMap<TopologyFunction, readonly BarDescription[]>;
  readonly bridgeWindows: ReadonlyMap<TopologyFunction, readonly BridgeWindowDescription[]>;
  readonly hostWindows: ReadonlyMap<HostBridge, readonly HostWindowDescription[]>;
  /** BARs for which the windows that are known left no room. */
  readonly homeless: readonly { readonly fn: TopologyFunction; readonly bar: BarShape }[];
}

/**
 * Finds addresses for BARs as the kernel does: from the leaves up, each bridge without a window gets one around what is
 * below it, and the outermost ones go into the windows that are known or into new ones of the host bridge.
 *
 * @kernel pci_bus_size_bridges, pci_bus_assign_resources
 */
export class BarPlacer implements Placement {
  readonly bars = new Map<TopologyFunction, BarDescription[]>();
  readonly bridgeWindows = new Map<TopologyFunction, BridgeWindowDescription[]>();
  readonly hostWindows = new Map<HostBridge, HostWindowDescription[]>();
  readonly homeless: { fn: TopologyFunction; bar: BarShape }[] = [];
  readonly #topology: Topology;
  readonly #wanted: ReadonlyMap<TopologyFunction, readonly BarShape[]>;

  constructor(topology: Topology, wanted: ReadonlyMap<TopologyFunction, readonly BarShape[]>) {
    this.#topology = topology;
    this.#wanted = wanted;
    for (const kind of ['mem', 'prefetch'] as const) {
      for (const hostBridge of topology.hostBridges) this.#placeBelowRoot(hostBridge, kind);
    }
  }

  #placeBelowRoot(hostBridge: HostBridge, kind: PlacedKind): void {
    const pieces = this.#piecesOf(this.#topology.rootBusFunctions(hostBridge), kind);
    const known = hostBridge.windows.filter((window) => isBelowFourGib(window) === (kind === 'mem'));
    const left = this.#placeIn(pieces, known, this.#spaceAround([]), kind);
    if (left.length === 0) return;
    const { size, align } = wholeOf(left);
    const space = this.#spaceAround([]);
    for (const window of this.#allHostWindows()) space.take(window);
    for (const within of NEW_WINDOWS[kind]) {
      const start = space.find(size, align, within);
      if (start === null) continue;
      const window = { start, end: start + size - 1, busOffset: 0 };
      addTo(this.hostWindows, hostBridge, window);
      this.#placeIn(left, [window], this.#spaceAround([]), kind);
      return;
    }
    this.#giveUp(left);
  }

  /** Pieces right below a bus; what is below a bridge with a known window is placed there at once. */
  #piecesOf(functions: readonly TopologyFunction[], kind: PlacedKind): readonly Piece[] {
    return functions.flatMap((fn) => {
      const bars = (this.#wanted.get(fn) ?? []).filter((bar) => windowKindOf(bar) === kind);
      const pieces = bars.map((bar): Piece => ({ size: bar.size, align: bar.size, fn, bar, inside: [] }));
      const virtual = fn.bridge === null ? this.#topology.virtualFunctions(fn) : [];
      const below = this.#piecesOf(
        virtual.filter((vf) => vf.bridge === null),
        kind,
      );
      return [...pieces, ...below, ...this.#piecesBehind(fn, kind)];
    });
  }

  #piecesBehind(bridge: TopologyFunction, kind: PlacedKind): readonly Piece[] {
    const inside = this.#piecesOf(this.#topology.children(bridge), kind);
    if (inside.length === 0 || this.#isOpen(bridge)) return inside;
    const known = bridge.windows.filter((window) => window.kind === kind);
    if (known.length === 0) return [{ ...wholeOf(inside), fn: bridge, bar: null, inside }];
    const way = this.#topology.pathToRoot(bridge);
    this.#giveUp(this.#placeIn(inside, known, this.#spaceAround(way), kind));
    return [];
  }

  /**
   * A bridge of which no window is known lets everything through. Where addresses below it are known it stays so: it has one
   * window of a kind, which may not be able to hold both them and the new ones.
   */
  #isOpen(bridge: TopologyFunction): boolean {
    if (bridge.windows.some((window) => window.kind !== 'io')) return false;
    return this.#topology.memoryBars.some(({ fn }) => this.#topology.pathToRoot(fn).includes(bridge));
  }

  /** Places each piece in the first range with room. Returns those that found none. */
  #placeIn(
    pieces: readonly Piece[],
    ranges: readonly AddressRange[],
    space: AddressSpace,
    kind: PlacedKind,
  ): readonly Piece[] {
    return largestFirst(pieces).filter((piece) => {
      for (const range of ranges) {
        const start = space.find(piece.size, piece.align, range);
        if (start === null) continue;
        space.take({ start, end: start + piece.size - 1 });
        this.#settle(piece, start, kind);
        return false;
      }
      return true;
    });
  }

  #settle(piece: Piece, start: number, kind: PlacedKind): void {
    if (piece.bar !== null) {
      addTo(this.bars, piece.fn, { ...piece.bar, start });
      return;
    }
    addTo(this.bridgeWindows, piece.fn, { kind, start, end: start + piece.size - 1 });
    let at = start;
    for (const inner of largestFirst(piece.inside)) {
      at = alignUp(at, inner.align);
      this.#settle(inner, at, kind);
      at += inner.size;
    }
  }

  #giveUp(pieces: readonly Piece[]): void {
    for (const { fn, bar, inside } of pieces) {
      if (bar !== null) this.homeless.push({ fn, bar });
      this.#giveUp(inside);
    }
  }

  /** What is taken: BARs, and the windows of all bridges but those on a way, whose windows are being filled. */
  #spaceAround(way: readonly TopologyFunction[]): AddressSpace {
    const bars = [...this.#topology.memoryBars.map(({ bar }) => bar), ...[...this.bars.values()].flat()];
    const others = this.#topology.functions.filter((fn) => !way.includes(fn));
    return new AddressSpace([
      ...bars.filter((bar) => isDecodedMemory(bar)).map(({ start, size }) => ({ start, end: start + size - 1 })),
      ...others
        .flatMap((fn) => [...fn.windows, ...(this.bridgeWindows.get(fn) ?? [])])
        .filter((window) => window.kind !== 'io'),
    ]);
  }

  /** Windows of all host bridges in physical and in bus addresses: new ones must be clear of both. */
  #allHostWindows(): readonly AddressRange[] {
    const known = this.#topology.memoryWindows();
    return [
      ...known,
      ...known.map(({ busStart, busEnd }) => ({ start: busStart, end: busEnd })),
      ...[...this.hostWindows.values()].flat(),
    ];
  }
}

function isBelowFourGib(window: HostWindowDescription): boolean {
  return window.end + window.busOffset < FOUR_GIB;
}

function largestFirst(pieces: readonly Piece[]): readonly Piece[] {
  return pieces.toSorted((a, b) => b.align - a.align || b.size - a.size);
}

/** Size and alignment of a window that holds the pieces in the order of {@link largestFirst}. */
function wholeOf(pieces: readonly Piece[]): { size: number; align: number } {
  let end = 0;
  for (const piece of largestFirst(pieces)) end = alignUp(end, piece.align) + piece.size;
  const align = Math.max(WINDOW_UNIT, ...pieces.map((piece) => piece.align));
  return { size: alignUp(end, WINDOW_UNIT), align };
}

function addTo<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
