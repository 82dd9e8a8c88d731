import { AcsBit, type TopologyFunction } from '../../topology/index.ts';
import type { PacketKind } from '../packet.ts';
import { type BusTree, requesterIdAbove } from './bus-tree.ts';
import { ClaimMap, intersect, type Span, subtract } from './claim-map.ts';
import { busBars, type RouteRegisters } from './route-registers.ts';
import { type PeerRange, type Refusal, RouteTable } from './route-table.ts';

const EVERYWHERE: readonly Span[] = [{ start: 0, end: Infinity }];

/**
 * Follows a function's way to the root. A function or port without request redirection lets a packet turn to whatever is
 * beside it on its bus (other functions of the device, other ports of the switch) and to its own BARs; with it, the packet
 * goes up regardless of its address. With egress control, the vector decides for each neighbour. A bridge takes what is
 * beside it by its windows, and refuses what comes from below and is inside them; functions on a root bus have no neighbours
 * but the root complex, which sends back down what a root port gives it.
 *
 * This is what hardware does; it knows nothing of the kernel's map types. Redirected completions take another way as well,
 * but carry the same bytes.
 */
export function buildRouteTable(
  tree: BusTree,
  requester: TopologyFunction,
  registers: RouteRegisters,
  packet: PacketKind = {},
): RouteTable {
  return new RouteBuilder(tree, registers, packet, requester).build();
}

class RouteBuilder {
  readonly #claims = new ClaimMap<PeerRange>();
  readonly #tree: BusTree;
  readonly #registers: RouteRegisters;
  readonly #translated: boolean;
  readonly #requester: TopologyFunction;
  #requesterId: number;
  /** The port below in the same switch sent the packet up regardless of its address; else for these neighbours alone. */
  #redirected = false;
  #redirectedTo: Span[] = [];

  constructor(tree: BusTree, registers: RouteRegisters, packet: PacketKind, requester: TopologyFunction) {
    this.#tree = tree;
    this.#registers = registers;
    this.#translated = packet.translated === true;
    this.#requester = requester;
    this.#requesterId = packet.requesterId ?? requester.requesterId;
  }

  build(): RouteTable {
    this.#turn(this.#requester);
    for (let port = this.#tree.above(this.#requester); port !== null; port = this.#tree.above(port)) {
      const refusal = this.#refusalAt(port);
      if (refusal !== null) {
        this.#claims.claim(refused({ start: 0, end: Infinity }, refusal));
        break;
      }
      this.#refuseOwnWindow(port);
      this.#turn(port);
      this.#requesterId = requesterIdAbove(port, this.#requesterId);
    }
    return new RouteTable(this.#claims.claims);
  }

  /** Why a port stops whatever this function sends up. */
  #refusalAt(port: TopologyFunction): Refusal | null {
    if (!this.#registers.forwardsUp(port)) return { by: port, kind: 'aer-ur', reason: 'bridge may not master the bus' };
    const acs = this.#registers.acs(port);
    const isPort = port.kind === 'root-port' || port.kind === 'downstream-port';
    const [secondary, subordinate] = this.#registers.buses(port);
    const bus = this.#requesterId >> 8;
    if (isPort && (acs & AcsBit.SourceValidation) !== 0 && (bus < secondary || bus > subordinate))
      return { by: port, kind: 'acs-violation', reason: 'source validation' };
    if (isPort && this.#translated && (acs & AcsBit.TranslationBlocking) !== 0)
      return { by: port, kind: 'acs-violation', reason: 'translation blocking' };
    return null;
  }

  /** A bridge does not send up what is inside its own windows, unless access control says so or it leads to the root. */
  #refuseOwnWindow(port: TopologyFunction): void {
    const upwards = AcsBit.RequestRedirect | AcsBit.UpstreamForwarding;
    const [redirected, except] = [this.#redirected, this.#redirectedTo];
    if (port.kind === 'root-port') return;
    if (port.kind === 'downstream-port' ? (this.#registers.acs(port) & upwards) !== 0 : redirected) return;
    const refusal: Refusal = { by: port, kind: 'aer-ur', reason: 'nobody in the bridge window' };
    for (const window of this.#registers.windows(port) ?? []) {
      for (const span of subtract(window, except)) this.#claims.claim(refused(span, refusal));
    }
  }

  /** The packet may turn at a function that it leaves or passes: to its own BARs and to what is beside it. */
  #turn(at: TopologyFunction): void {
    const acs = this.#registers.acs(at);
    const direct = this.#translated && (acs & AcsBit.DirectTranslated) !== 0;
    const egress = !direct && (acs & AcsBit.EgressControl) !== 0;
    const redirect = !direct && (acs & AcsBit.RequestRedirect) !== 0;
    this.#redirected = redirect && !egress;
    this.#redirectedTo = [];
    if (this.#redirected) return;
    if (!redirect || !this.#registers.egressDenied(at, at)) this.#claimBars(at, EVERYWHERE);
    const above = this.#tree.above(at);
    if (above === null) return;
    for (const beside of this.#tree.below(above)) {
      if (beside === at) continue;
      if (!egress || !this.#registers.egressDenied(at, beside)) this.#claimBelow(beside, EVERYWHERE);
      else if (redirect) this.#redirectedTo.push(...this.#claimedBy(beside));
      else this.#refuseEgress(at, beside);
    }
  }

  #refuseEgress(by: TopologyFunction, to: TopologyFunction): void {
    const refusal: Refusal = { by, kind: 'acs-violation', reason: 'egress control' };
    for (const span of this.#claimedBy(to)) this.#claims.claim(refused(span, refusal));
  }

  /** Addresses that a function or what is behind it decodes. */
  #claimedBy(fn: TopologyFunction): readonly Span[] {
    const below = fn.isBridge && this.#registers.forwardsDown(fn);
    const windows = below ? this.#registers.windows(fn) : [];
    const behind = windows ?? this.#tree.below(fn).flatMap((child) => this.#claimedBy(child));
    return [...busBars(fn), ...behind];
  }

  #claimBars(fn: TopologyFunction, within: readonly Span[]): void {
    for (const { start, end, bar, offset } of busBars(fn)) {
      for (const span of intersect([{ start, end }], within))
        this.#claims.claim({ ...span, target: fn, bar, offset, refusal: null });
    }
  }

  /** A function and everything behind it, as far as the bridges above let addresses `within` through. */
  #claimBelow(fn: TopologyFunction, within: readonly Span[]): void {
    this.#claimBars(fn, within);
    if (!fn.isBridge || !this.#registers.forwardsDown(fn)) return;
    const windows = this.#registers.windows(fn);
    const inside = windows === null ? within : intersect(windows, within);
    for (const child of this.#tree.below(fn)) this.#claimBelow(child, inside);
    if (windows === null) return;
    const refusal: Refusal = { by: fn, kind: 'aer-ur', reason: 'nobody in the bridge window' };
    for (const span of inside) this.#claims.claim(refused(span, refusal));
  }
}

function refused({ start, end }: Span, refusal: Refusal): PeerRange {
  return { start, end, target: null, bar: -1, offset: 0, refusal };
}
