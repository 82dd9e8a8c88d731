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
/** Bits of the ROM BAR that can be written, for a ROM of 2 KiB. */
export const ROM_WRITABLE = 0xffff_f801 | 0;
/** @kernel PCI_STATUS_CAP_LIST */
export const PCI_STATUS_CAP_LIST = 0x10;

/** Power states as PMCSR has them. */
export const PowerState = { D0: 0, D1: 1, D2: 2, D3hot: 3 } as const;
export type PowerState = (typeof PowerState)[keyof typeof PowerState];

/** Offsets in the header. */
export const Reg = {
  VENDOR: 0x00,
  COMMAND: 0x04,
  CLASS_REVISION: 0x08,
  CACHE_LINE: 0x0c,
  BAR_0: 0x10,
  BUS_NUMBERS: 0x18,
  SUBSYSTEM: 0x2c,
  ROM: 0x30,
  CAPABILITY_LIST: 0x34,
  INTERRUPT: 0x3c,
} as const;

/** Where this hardware has its capabilities; each function has those that its description names. */
export const CapAt = { PM: 0x40, EXP: 0x50, AF: 0x98, AER: 0x100, ACS: 0x148, SRIOV: 0x160 } as const;

/** Capability ids. @kernel PCI_CAP_ID_*, PCI_EXT_CAP_ID_* */
export const CapId = { PM: 0x01, EXP: 0x10, AF: 0x13 } as const;
export const ExtCapId = { AER: 0x01, ACS: 0x0d, SRIOV: 0x10 } as const;

/** Offsets inside the capabilities. */
export const PM_CTRL = 4;
export const EXP_DEVCAP = 4;
export const EXP_DEVCTL = 8;
export const AER_UNCORRECTABLE_STATUS = 4;
export const ACS_CAP = 4;

export const PM_CTRL_STATE_MASK = 0x3;
export const PM_CTRL_NO_SOFT_RESET = 0x8;
/** Support for D1 and D2, version 3. */
export const PM_CAPABILITIES = 0x0603;
/** @kernel PCI_EXP_DEVCAP_FLR, PCI_EXP_DEVCTL_BCR_FLR */
export const EXP_DEVCAP_FLR = 0x1000_0000;
export const EXP_DEVCTL_FLR = 0x8000;
/** Length of the advanced features capability; reset and pending transactions supported. @kernel PCI_CAP_AF_SIZEOF, PCI_AF_CAP_TP, PCI_AF_CAP_FLR */
export const AF_LENGTH = 6;
export const AF_CAPABILITIES = 0x3;

/** Bits of the uncorrectable error status register. @kernel PCI_ERR_UNC_UNSUP, PCI_ERR_UNC_COMP_TIME, PCI_ERR_UNC_ACSV */
export const AerBit = {
  UNSUPPORTED_REQUEST: 0x0010_0000,
  COMPLETION_TIMEOUT: 0x4000,
  ACS_VIOLATION: 0x0020_0000,
} as const;

/** Type bits of a memory or I/O BAR. @kernel PCI_BASE_ADDRESS_* */
export const BAR_IO = 0x1;
export const BAR_MEM_64 = 0x4;
export const BAR_PREFETCH = 0x8;

/** Size of configuration space: with and without extended capabilities. */
export const CONFIG_BYTES = 4096;
export const CONFIG_BYTES_CONVENTIONAL = 256;
