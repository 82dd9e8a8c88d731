import { ACS_REDIRECT_MASK, type AcsKnowledge } from '../acs.ts';
import { type Bdf, bdfKey, type BdfParts, devfnOf, parseBdf, requesterIdOf } from '../bdf.ts';
import type {
  BarDescription,
  BridgeWindowDescription,
  FunctionDescription,
} from '../description/machine-description.ts';
import { type FunctionKind, isBridgeKind, type PcieType, pcieTypeOfKind } from '../pcie-type.ts';
import type { HostBridge } from './host-bridge.ts';

/** What ties a function to its neighbours; filled in by `Topology`. */
export interface FunctionLinks {
  readonly index: number;
  readonly hostBridge: HostBridge;
  /** The bridge that owns the function's bus; `null` on a root bus and on a VF's bus that no bridge owns. */
  readonly bridge: TopologyFunction | null;
  readonly physfn: TopologyFunction | null;
  readonly multifunction: boolean;
}

/**
 * One PCI function of a machine, as built: nothing in it changes at run time.
 *
 * The live ACS control word and command register are kept elsewhere, per {@link TopologyFunction.index}.
 *
 * @kernel struct pci_dev
 */
export class TopologyFunction {
  /** Dense number 0..n-1 in the order of domain, bus, device, function: for arrays of per-function state. */
  readonly index: number;
  readonly bdf: Bdf;
  readonly domain: number;
  readonly bus: number;
  /** Device number on the bus. */
  readonly slot: number;
  /** Function number in the device. */
  readonly func: number;
  /** Device and function number in one byte. */
  readonly devfn: number;
  /** Bus, device and function in 16 bits. @kernel pci_dev_id */
  readonly requesterId: number;
  /** domain << 16 | requester id, as a number that is exact for every domain. */
  readonly key: number;
  readonly description: FunctionDescription;
  readonly kind: FunctionKind;
  /** PCIe device/port type; `null` without the capability. */
  readonly pcieType: PcieType | null | 'unknown';
  readonly multifunction: boolean;
  readonly hostBridge: HostBridge;
  /** The bridge that owns this function's bus, if any. For the path to the root see `Topology.upstreamBridge`. */
  readonly bridge: TopologyFunction | null;
  /** The physical function of a VF. */
  readonly physfn: TopologyFunction | null;

  constructor(description: FunctionDescription, links: FunctionLinks) {
    const parts: BdfParts = parseBdf(description.bdf);
    this.index = links.index;
    this.bdf = description.bdf;
    this.domain = parts.domain;
    this.bus = parts.bus;
    this.slot = parts.slot;
    this.func = parts.func;
    this.devfn = devfnOf(parts);
    this.requesterId = requesterIdOf(parts);
    this.key = bdfKey(parts);
    this.description = description;
    this.kind = description.kind;
    this.pcieType = description.pcieType === undefined ? pcieTypeOfKind(description.kind) : description.pcieType;
    this.multifunction = links.multifunction;
    this.hostBridge = links.hostBridge;
    this.bridge = links.bridge;
    this.physfn = links.physfn;
  }

  /** Vendor id; `null` when the description does not know it. */
  get vendor(): number | null {
    return this.description.vendor;
  }

  /** Device id; `null` when the description does not know it. */
  get device(): number | null {
    return this.description.device;
  }

  /** Class, subclass and programming interface; `null` when the description does not know it. */
  get classCode(): number | null {
    return this.description.class;
  }

  /** A label for people: the description's name, else the BDF. */
  get label(): string {
    return this.description.name ?? this.bdf;
  }

  /** Whether buses can be behind this function. */
  get isBridge(): boolean {
    return isBridgeKind(this.kind);
  }

  /** Whether this is an SR-IOV virtual function. */
  get isVirtualFunction(): boolean {
    return this.physfn !== null;
  }

  /** First bus behind a bridge; `null` for other functions and for bridges that were not configured. */
  get secondary(): number | null {
    return this.description.secondary ?? null;
  }

  /** Last bus behind a bridge; `null` for other functions and for bridges that were not configured. */
  get subordinate(): number | null {
    return this.description.subordinate ?? null;
  }

  /** Address ranges that a bridge forwards downwards. */
  get windows(): readonly BridgeWindowDescription[] {
    return this.description.windows ?? [];
  }

  get bars(): readonly BarDescription[] {
    return this.description.bars;
  }

  /** The BAR whose first register is `index`, if implemented. */
  bar(index: number): BarDescription | undefined {
    return this.description.bars.find((bar) => bar.index === index);
  }

  /** ACS as described: the registers at start. */
  get acs(): AcsKnowledge {
    return this.description.acs;
  }

  toString(): string {
    return this.bdf;
  }
}

/**
 * Tells whether a function's ACS control word redirects peer-to-peer traffic at this moment.
 *
 * @kernel pci_bridge_has_acs_redir
 */
export interface AcsState {
  redirects(fn: TopologyFunction): boolean;
}

/** The ACS state that the description shows; a function whose ACS is not known does not redirect. */
export const describedAcs: AcsState = {
  redirects(fn: TopologyFunction): boolean {
    const { acs } = fn;
    return acs !== null && acs !== 'unknown' && (acs.ctrl & ACS_REDIRECT_MASK) !== 0;
  },
};
