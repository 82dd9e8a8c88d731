import type { Topology, TopologyFunction } from '../../topology/index.ts';
import type { PacketKind } from '../packet.ts';
import { buildRouteTable } from './build-route-table.ts';
import { BusTree } from './bus-tree.ts';
import { intersect, type Span, subtract } from './claim-map.ts';
import { busBars, type RouteRegisters } from './route-registers.ts';
import type { RouteTable } from './route-table.ts';

/** Where packets from the root complex reach a function. */
export interface Gate {
  /** The bridges above let through whatever its BARs decode. */
  readonly open: boolean;
  /** Bus addresses that they let through, where that is not all. */
  readonly spans: readonly Span[];
}

interface Known<T> {
  readonly epoch: number;
  readonly value: T;
}

/** Routes of all functions, worked out when first needed and again when a register that decides them changed. */
export class Router {
  readonly tree: BusTree;
  readonly #registers: RouteRegisters;
  readonly #epoch: () => number;
  /** By function index. */
  readonly #tables: (Known<RouteTable> | undefined)[] = [];
  readonly #gates: (Known<Gate> | undefined)[] = [];

  /** @param epoch - a number that changes when any of the registers does */
  constructor(topology: Topology, registers: RouteRegisters, epoch: () => number) {
    this.tree = new BusTree(topology);
    this.#registers = registers;
    this.#epoch = epoch;
  }

  /** Where the packets of a function go at this moment. */
  tableOf(requester: TopologyFunction): RouteTable {
    const epoch = this.#epoch();
    const known = this.#tables[requester.index];
    if (known !== undefined && known.epoch === epoch) return known.value;
    const value = buildRouteTable(this.tree, requester, this.#registers);
    this.#tables[requester.index] = { epoch, value };
    return value;
  }

  /** {@link tableOf} for packets that are out of the ordinary, remembered by the caller for as long as it says. */
  tableFor(requester: TopologyFunction, packet: PacketKind): RouteTable {
    return buildRouteTable(this.tree, requester, this.#registers, packet);
  }

  /** A number that changes when routes may have. */
  get epoch(): number {
    return this.#epoch();
  }

  /** What of a function's addresses can be reached from the root complex at this moment. */
  gateTo(fn: TopologyFunction): Gate {
    const epoch = this.#epoch();
    const known = this.#gates[fn.index];
    if (known !== undefined && known.epoch === epoch) return known.value;
    const value = this.#gateOf(fn);
    this.#gates[fn.index] = { epoch, value };
    return value;
  }

  #gateOf(fn: TopologyFunction): Gate {
    let spans: readonly Span[] | null = null;
    for (let bridge = this.tree.above(fn); bridge !== null; bridge = this.tree.above(bridge)) {
      const windows = this.#registers.forwardsDown(bridge) ? this.#registers.windows(bridge) : [];
      if (windows !== null) spans = spans === null ? windows : intersect(spans, windows);
    }
    if (spans === null) return { open: true, spans: [] };
    const through = spans;
    return { open: busBars(fn).every((bar) => subtract(bar, through).length === 0), spans };
  }
}
