/** Offsets and bits of configuration space, as in `pci_regs.h`. */

/** @kernel PCI_COMMAND_* */
export const PciCommand = {
  IO: 0x1,
  MEMORY: 0x2,
  MASTER: 0x4,
  PARITY: 0x40,
  SERR: 0x100,
  INTX_DISABLE: 0x400,
} as const;
/** Bits of the command register that exist. */
export const COMMAND_WRITABLE =
  PciCommand.IO | PciCommand.MEMORY | PciCommand.MASTER | PciCommand.PARITY | PciCommand.SERR | PciCommand.INTX_DISABLE;
/** Bits of the status register: INTx is asserted, there is a capability list, errors that are cleared by writing ones. */
export const PCI_STATUS_INTERRUPT = 0x08;
export const PCI_STATUS_CAP_LIST = 0x10;
export const PCI_STATUS_ERRORS = 0xf900;

/** Power states as PMCSR has them. */
export const PowerState = { D0: 0, D1: 1, D2: 2, D3hot: 3 } as const;
export type PowerState = (typeof PowerState)[keyof typeof PowerState];

/** Offsets in the header. */
export const Reg = {
  VENDOR: 0x00,
  COMMAND: 0x04,
  STATUS: 0x06,
  CLASS_REVISION: 0x08,
  CACHE_LINE: 0x0c,
  HEADER_TYPE: 0x0e,
  BAR_0: 0x10,
  SUBSYSTEM: 0x2c,
  ROM: 0x30,
  CAPABILITY_LIST: 0x34,
  INTERRUPT: 0x3c,
  /** Of bridges: primary, secondary and subordinate bus; windows; control. */
  BUS_NUMBERS: 0x18,
  IO_WINDOW: 0x1c,
  SECONDARY_STATUS: 0x1e,
  MEMORY_WINDOW: 0x20,
  PREFETCH_WINDOW: 0x24,
  PREFETCH_BASE_UPPER: 0x28,
  PREFETCH_LIMIT_UPPER: 0x2c,
  IO_WINDOW_UPPER: 0x30,
  BRIDGE_ROM: 0x38,
  BRIDGE_CONTROL: 0x3e,
} as const;

/** Bits of a bridge's control register. @kernel PCI_BRIDGE_CTL_* */
export const BridgeControl = { ISA: 0x4, VGA: 0x8, VGA_16BIT: 0x10, BUS_RESET: 0x40 } as const;
export const BRIDGE_CONTROL_WRITABLE = 0x0bff;
/** The discard timer's status, cleared by writing a one. */
export const BRIDGE_CONTROL_DISCARD = 0x0400;

/**
 * Where functions have their capabilities of which no dump is known; each has those that its description names.
 */
export const CapAt = {
  PM: 0x40,
  EXP: 0x50,
  AF: 0x98,
  MSI: 0xa0,
  MSIX: 0xb8,
  AER: 0x100,
  ACS: 0x148,
  SRIOV: 0x160,
  ATS: 0x1a0,
  PRI: 0x1b0,
  PASID: 0x1c0,
  REBAR: 0x1d0,
} as const;

/** Capability ids. @kernel PCI_CAP_ID_* */
export const CapId = { PM: 0x01, MSI: 0x05, EXP: 0x10, MSIX: 0x11, AF: 0x13 } as const;
/** @kernel PCI_EXT_CAP_ID_* */
export const ExtCapId = {
  AER: 0x01,
  ACS: 0x0d,
  ATS: 0x0f,
  SRIOV: 0x10,
  PRI: 0x13,
  REBAR: 0x15,
  PASID: 0x1b,
} as const;

/** Offsets inside the capabilities. */
export const PM_CTRL = 4;
export const EXP_DEVCAP = 4;
export const EXP_DEVCTL = 8;
export const EXP_DEVSTA = 10;
export const AER_UNCORRECTABLE_STATUS = 4;
export const ACS_CAP = 4;
/** @kernel PCI_ACS_EGRESS_CTL_V */
export const ACS_EGRESS_VECTOR = 8;

export const PM_CTRL_STATE_MASK = 0x3;
export const PM_CTRL_NO_SOFT_RESET = 0x8;
export const PM_CTRL_PME_ENABLE = 0x100;
export const PM_CTRL_PME_STATUS = 0x8000;
/** Support for D1 and D2, version 3. */
export const PM_CAPABILITIES = 0x0603;
/** @kernel PCI_EXP_DEVCAP_FLR, PCI_EXP_DEVCTL_BCR_FLR */
export const EXP_DEVCAP_FLR = 0x1000_0000;
export const EXP_DEVCTL_FLR = 0x8000;
/** Fields of device control: largest payload and largest read request, as powers of two above 128 bytes. */
export const EXP_DEVCTL_PAYLOAD = 0x00e0;
export const EXP_DEVCTL_READRQ = 0x7000;
/** An unsupported request was seen. @kernel PCI_EXP_DEVSTA_URD */
export const EXP_DEVSTA_UNSUPPORTED = 0x8;
/** Length of the advanced features capability; reset and pending transactions supported. @kernel PCI_CAP_AF_SIZEOF, PCI_AF_CAP_TP, PCI_AF_CAP_FLR */
export const AF_LENGTH = 6;
export const AF_CAPABILITIES = 0x3;
export const AF_CTRL = 4;
export const AF_CTRL_FLR = 0x1;

/** Registers of the MSI capability; the mask and pending registers stand behind the data register. @kernel PCI_MSI_FLAGS, PCI_MSI_ADDRESS_LO */
export const MSI_FLAGS = 2;
export const MSI_ADDRESS = 4;
export const MSI_ADDRESS_UPPER = 8;
/** @kernel PCI_MSI_FLAGS_ENABLE, PCI_MSI_FLAGS_QMASK, PCI_MSI_FLAGS_QSIZE, PCI_MSI_FLAGS_64BIT, PCI_MSI_FLAGS_MASKBIT */
export const MsiFlag = { ENABLE: 0x1, CAPABLE: 0x0e, ENABLED: 0x70, WIDE: 0x80, MASKABLE: 0x100 } as const;

/** Registers of the MSI-X capability. @kernel PCI_MSIX_FLAGS, PCI_MSIX_TABLE, PCI_MSIX_PBA */
export const MSIX_FLAGS = 2;
export const MSIX_TABLE = 4;
export const MSIX_PBA = 8;
/** @kernel PCI_MSIX_FLAGS_QSIZE, PCI_MSIX_FLAGS_MASKALL, PCI_MSIX_FLAGS_ENABLE */
export const MsixFlag = { SIZE: 0x7ff, MASK_ALL: 0x4000, ENABLE: 0x8000 } as const;
/** Bytes of one entry of the MSI-X table: address, upper address, data, control. @kernel PCI_MSIX_ENTRY_SIZE */
export const MSIX_ENTRY_BYTES = 16;
/** @kernel PCI_MSIX_ENTRY_CTRL_MASKBIT */
export const MSIX_ENTRY_MASKED = 0x1;

/** @kernel PCI_ATS_CAP, PCI_ATS_CTRL */
export const ATS_CAP = 4;
export const ATS_CTRL = 6;
export const ATS_CTRL_ENABLE = 0x8000;
export const ATS_CTRL_STU = 0x1f;
/** A function's address translation requests are all page aligned. @kernel PCI_ATS_CAP_PAGE_ALIGNED */
export const ATS_CAP_PAGE_ALIGNED = 0x20;

/** @kernel PCI_PRI_CTRL, PCI_PRI_STATUS, PCI_PRI_MAX_REQ, PCI_PRI_ALLOC_REQ */
export const PRI_CTRL = 4;
export const PRI_STATUS = 6;
export const PRI_MAX_REQUESTS = 8;
export const PRI_ALLOCATION = 12;
export const PriBit = {
  ENABLE: 0x1,
  RESET: 0x2,
  RESPONSE_FAILURE: 0x1,
  UNEXPECTED_GROUP: 0x2,
  STOPPED: 0x100,
} as const;

/** @kernel PCI_PASID_CAP, PCI_PASID_CTRL */
export const PASID_CAP = 4;
export const PASID_CTRL = 6;
export const PasidBit = { ENABLE: 0x1, EXECUTE: 0x2, PRIVILEGED: 0x4 } as const;

/** @kernel PCI_SRIOV_CTRL, PCI_SRIOV_NUM_VF, PCI_SRIOV_BAR */
export const SRIOV_CTRL = 8;
export const SRIOV_INITIAL_VFS = 12;
export const SRIOV_NUM_VFS = 16;
export const SRIOV_VF_OFFSET = 20;
export const SRIOV_VF_DEVICE = 26;
export const SRIOV_PAGE_SIZES = 28;
export const SRIOV_BAR_0 = 36;
/** @kernel PCI_SRIOV_CTRL_VFE, PCI_SRIOV_CTRL_MSE, PCI_SRIOV_CTRL_ARI */
export const SriovBit = { ENABLE: 0x1, MEMORY: 0x8, ARI: 0x10 } as const;

/** Registers of one resizable BAR. @kernel PCI_REBAR_CAP, PCI_REBAR_CTRL */
export const REBAR_CAP = 4;
export const REBAR_CTRL = 8;
export const REBAR_ENTRY_BYTES = 8;

/** Bits of the uncorrectable error status register. @kernel PCI_ERR_UNC_UNSUP, PCI_ERR_UNC_COMP_TIME, PCI_ERR_UNC_ACSV */
export const AerBit = {
  UNSUPPORTED_REQUEST: 0x0010_0000,
  COMPLETION_TIMEOUT: 0x4000,
  ACS_VIOLATION: 0x0020_0000,
  ATOMIC_EGRESS_BLOCKED: 0x0100_0000,
} as const;

/** Type bits of a memory or I/O BAR. @kernel PCI_BASE_ADDRESS_* */
export const BAR_IO = 0x1;
export const BAR_MEM_64 = 0x4;
export const BAR_PREFETCH = 0x8;
/** @kernel PCI_ROM_ADDRESS_ENABLE */
export const ROM_ENABLE = 0x1;

/** Size of configuration space: with and without extended capabilities. */
export const CONFIG_BYTES = 4096;
export const CONFIG_BYTES_CONVENTIONAL = 256;
/** Where capability lists may begin: behind the header, and in the extended part. */
export const CAPABILITIES_AT = 0x40;
export const EXTENDED_AT = 0x100;

/** Offsets of the second device registers, and what they say of AtomicOps. @kernel PCI_EXP_DEVCAP2, PCI_EXP_DEVCTL2 */
export const EXP_DEVCAP2 = 36;
export const EXP_DEVCTL2 = 40;
/** @kernel PCI_EXP_DEVCAP2_ATOMIC_* */
export const AtomicCap = { ROUTE: 0x40, COMPLETER_32: 0x80, COMPLETER_64: 0x100 } as const;
/** @kernel PCI_EXP_DEVCTL2_ATOMIC_* */
export const AtomicControl = { REQUESTER: 0x40, EGRESS_BLOCK: 0x80 } as const;
