import type { AcsKnowledge } from '../acs.ts';
import type { Bdf } from '../bdf.ts';
import type {
  BarFlag,
  BarKind,
  BridgeWindowDescription,
  SriovDescription,
} from '../description/machine-description.ts';
import type { PcieType } from '../pcie-type.ts';

/** One BAR as a listing shows it; what it does not show is `null`. */
export interface RawBar {
  /** BAR register 0..5; `null` in listings that do not number them (`lspci -v`). */
  readonly index: number | null;
  /** Physical address, as the kernel sees it. */
  readonly address: number | null;
  readonly size: number | null;
  readonly kind: BarKind;
  readonly prefetchable: boolean;
  readonly flags: readonly BarFlag[];
}

/** Expansion ROM as a listing shows it. */
export interface RawRom {
  readonly address: number | null;
  readonly size: number | null;
}

/** Bus numbers of a bridge. */
export interface RawBusNumbers {
  readonly primary: number;
  readonly secondary: number;
  readonly subordinate: number;
}

/** One entry of a capability list. */
export interface RawCapability {
  /** Offset in config space. */
  readonly offset: number;
  /** In the extended config space, from 0x100 up. */
  readonly extended: boolean;
  /** Capability id when bytes were shown, else `null`. */
  readonly id: number | null;
  /** Name as the listing spells it; empty when only bytes were shown. */
  readonly name: string;
}

/** MSI-X table of a function. */
export interface RawMsix {
  readonly vectors: number;
  /** BAR that holds the table; `null` when not shown. */
  readonly tableBar: number | null;
  readonly tableOffset: number | null;
}

/**
 * One PCI function as a listing shows it, facts only: `null` or `'unknown'` stand for what the listing does not show.
 */
export interface RawFunction {
  readonly bdf: Bdf;
  /** Line of the listing where the function starts, from 1; 0 when it did not come from text. */
  readonly line: number;
  readonly vendor: number | null;
  readonly device: number | null;
  /** Whether the ids were looked up by names. */
  readonly idsByName: boolean;
  /** Class, subclass and programming interface; `null` when not shown. */
  readonly class: number | null;
  readonly className: string;
  /** Vendor and device names as the listing spells them. */
  readonly deviceName: string;
  readonly revision: number | null;
  /** Command register bits that were shown (I/O 1, memory 2, bus master 4, no INTx 0x400). */
  readonly command: number | null;
  /** Header type without the multi-function bit: 0 device, 1 bridge, 2 CardBus. */
  readonly headerType: number | null;
  readonly multifunction: boolean | null;
  readonly bars: readonly RawBar[];
  /** Whether the listing would show BARs if there were any. */
  readonly barsShown: boolean;
  /** BAR registers as read from config space: bus addresses by BAR index. */
  readonly barRegisters: readonly RawBar[] | null;
  readonly rom: RawRom | null;
  readonly bus: RawBusNumbers | null;
  readonly windows: readonly BridgeWindowDescription[];
  readonly capabilities: readonly RawCapability[];
  readonly pcieType: PcieType | null | 'unknown';
  readonly acs: AcsKnowledge;
  /** With `acs` unknown: the control word, if the function has the capability at all. */
  readonly acsControlIfAny: number | null;
  /** The ACS capability is listed, with its registers or without. */
  readonly acsListed: boolean;
  readonly flr: boolean | null;
  readonly pm: boolean | null;
  readonly ats: boolean | null;
  readonly sriov: SriovDescription | null;
  /** Physical function of a virtual one, where the source names it. */
  readonly physfn?: Bdf;
  readonly msix: RawMsix | null;
  readonly iommuGroup: number | null;
  readonly driver: string | null;
  readonly numaNode: number | null;
  /** Config space bytes: 64, 256 or 4096. */
  readonly config: Uint8Array | null;
}

/** A function about which nothing but its name is known. */
export function unknownFunction(bdf: Bdf, line: number): RawFunction {
  return {
    bdf,
    line,
    vendor: null,
    device: null,
    idsByName: false,
    class: null,
    className: '',
    deviceName: '',
    revision: null,
    command: null,
    headerType: null,
    multifunction: null,
    bars: [],
    barsShown: false,
    barRegisters: null,
    rom: null,
    bus: null,
    windows: [],
    capabilities: [],
    pcieType: 'unknown',
    acs: 'unknown',
    acsControlIfAny: null,
    acsListed: false,
    flr: null,
    pm: null,
    ats: null,
    sriov: null,
    msix: null,
    iommuGroup: null,
    driver: null,
    numaNode: null,
    config: null,
  };
}
