import type { AcsKnowledge } from '../acs.ts';
import type { Bdf } from '../bdf.ts';
import type { FunctionKind, PcieType } from '../pcie-type.ts';
import type {
  ConfigDescription,
  MsiDescription,
  MsixDescription,
  ResizableBarDescription,
} from './capability-descriptions.ts';

/** Schema name of the compact machine format. */
export const MACHINE_SCHEMA = 'dmabuf-emu/machine@1';

/**
 * A whole machine's PCI topology as plain JSON: host bridges, functions, BARs, ACS.
 *
 * Every address is an exact number below 2^53 (hex strings such as `"0x3f000000000"` are accepted on input, see
 * `parseMachineDescription`). Ranges are inclusive at both ends, as in /proc/iomem.
 */
export interface MachineDescription {
  readonly schema: typeof MACHINE_SCHEMA;
  /** Short name, such as `genoa-4gpu`. */
  readonly name: string;
  /** One line for people. */
  readonly title: string;
  readonly cpu: CpuDescription;
  readonly hostBridges: readonly HostBridgeDescription[];
  readonly functions: readonly FunctionDescription[];
}

/** The processor, as far as peer-to-peer DMA depends on it. */
export interface CpuDescription {
  /** `AMD`, `Intel`, `Hygon`, `ARM`, ...; any other text is allowed and matches no rule. */
  readonly vendor: string;
  /** CPUID family (0x19 for Zen 3 and 4); `null` when unknown or when the architecture has none. */
  readonly family: number | null;
}

/** A root complex's door to one root bus. @kernel struct pci_host_bridge */
export interface HostBridgeDescription {
  readonly domain: number;
  /** Root bus number. */
  readonly bus: number;
  /** Last bus number below; without it, up to the next host bridge of the domain. */
  readonly busEnd?: number;
  /** Memory windows, in physical (CPU) addresses. */
  readonly windows: readonly HostWindowDescription[];
  /**
   * What devices below can reach of physical memory, and at which bus addresses, where that is not everything as it is.
   * @kernel pci_host_bridge.dma_ranges
   */
  readonly dmaRanges?: readonly HostWindowDescription[];
  /**
   * The bus is taken as a root bus only because the source shows no bridge that leads to it: in the real machine it may
   * be behind any bridge, also one of those that are listed.
   */
  readonly assumed?: boolean;
}

/** A range of physical addresses that a host bridge forwards to its bus. */
export interface HostWindowDescription {
  readonly start: number;
  /** Last address that is still inside. */
  readonly end: number;
  /** Bus address minus physical address: 0 on x86. */
  readonly busOffset: number;
}

/** One PCI function. */
export interface FunctionDescription {
  readonly bdf: Bdf;
  /** `null` when the source of the description did not tell. */
  readonly vendor: number | null;
  /** `null` when the source of the description did not tell. */
  readonly device: number | null;
  /** Class, subclass and programming interface in 24 bits (0x030000 is a VGA controller); `null` when not known. */
  readonly class: number | null;
  /** A label for people; not used by any rule. */
  readonly name?: string;
  readonly kind: FunctionKind;
  /** PCIe device/port type where it is not the usual one of the kind, such as a host bridge that is a root port. */
  readonly pcieType?: PcieType | null | 'unknown';
  /** Header-type bit 7; without it, true when another function shares the device number. */
  readonly multifunction?: boolean;
  /** The bridge that leads here. May be left out: bus numbers say it; when present it must agree with them. */
  readonly parent?: Bdf;
  /** Bridges: first and last bus behind. Both missing means not configured. */
  readonly secondary?: number;
  readonly subordinate?: number;
  readonly bars: readonly BarDescription[];
  readonly rom?: RomDescription;
  /** Bridges: address ranges forwarded downwards. */
  readonly windows?: readonly BridgeWindowDescription[];
  readonly acs: AcsKnowledge;
  /** With `acs` unknown: the control word, if the function has the capability at all. */
  readonly acsControlIfAny?: number;
  /** With ACS `'unknown'`: the capability is there, only its registers were not told. */
  readonly acsListed?: boolean;
  /** Function level reset is supported. */
  readonly flr: boolean;
  /** Has the power management capability. */
  readonly pm: boolean;
  /** Address translation services are supported. */
  readonly ats?: boolean;
  /** Command register at start (I/O 1, memory 2, bus master 4). */
  readonly command?: number;
  readonly numaNode?: number;
  /** Virtual functions: the physical function. */
  readonly physfn?: Bdf;
  /** Physical functions: the SR-IOV capability. */
  readonly sriov?: SriovDescription;
  /** BARs cannot be mapped by the CPU. @kernel pci_dev.non_mappable_bars */
  readonly nonMappableBars?: boolean;
  readonly msi?: MsiDescription;
  readonly msix?: MsixDescription;
  /** Page request interface: how many requests may be outstanding. */
  readonly pri?: number;
  /** Process address space ids: their width in bits. */
  readonly pasid?: number;
  readonly resizableBars?: readonly ResizableBarDescription[];
  /** Bytes of configuration space, for whatever the other fields do not name. */
  readonly config?: ConfigDescription;
}

/** A base address register that is implemented. */
export interface BarDescription {
  /** 0..5; a `mem64` BAR takes the next index too. */
  readonly index: number;
  /** Physical address; 0 with flag `unassigned`. */
  readonly start: number;
  /** 0 with flag `size-unknown`, else a power of two. */
  readonly size: number;
  readonly kind: BarKind;
  readonly prefetchable: boolean;
  readonly flags?: readonly BarFlag[];
}

export const BAR_KINDS = ['mem32', 'mem64', 'io'] as const;
export type BarKind = (typeof BAR_KINDS)[number];

export const BAR_FLAGS = ['disabled', 'virtual', 'unassigned', 'ignored', 'index-assumed', 'size-unknown'] as const;

/**
 * Marks on a BAR: decoding is off (`disabled`), the register does not hold the address (`virtual`), no address was
 * given (`unassigned`), the kernel does not use it (`ignored`), the listing had no index (`index-assumed`) or no size
 * (`size-unknown`: nothing answers at the address).
 */
export type BarFlag = (typeof BAR_FLAGS)[number];

/** Expansion ROM; `start` is 0 when it has no address. */
export interface RomDescription {
  readonly start: number;
  readonly size: number;
}

export const BRIDGE_WINDOW_KINDS = ['io', 'mem', 'prefetch'] as const;
export type BridgeWindowKind = (typeof BRIDGE_WINDOW_KINDS)[number];

/** A range of addresses that a bridge forwards downwards. */
export interface BridgeWindowDescription {
  readonly kind: BridgeWindowKind;
  readonly start: number;
  readonly end: number;
}

/** The SR-IOV capability of a physical function. */
export interface SriovDescription {
  readonly totalVfs: number;
  /** Virtual functions that are enabled. */
  readonly numVfs: number;
  /** Requester id of VF 0 minus that of the physical function. */
  readonly vfOffset: number;
  /** Requester id distance between neighbouring VFs. */
  readonly vfStride: number;
  /** Device id of the VFs; `null` when not known. */
  readonly vfDevice: number | null;
  /** Base address registers of the capability: those of VF 0, with the size of one VF's. */
  readonly bars?: readonly BarDescription[];
}
