import { CapId, type ConfigSpace, MSI_FLAGS, msiRegisters } from '@dmabuf-emu/pci-iommu';

/** A length that depends on the capability's content. */
type Measure = (hardware: ConfigSpace, at: number) => number;

const EXP_FLAGS = 2;
const EXP_FLAGS_TYPE = 0xf0;
const EXP_FLAGS_VERSION = 0xf;
const TYPE_RC_END = 0x90;
const ACS_EGRESS = 0x20;
const VPD = 0x03;
const VENDOR = 0x09;

/**
 * Bytes of the capabilities that VFIO shows; those not named here it removes from the list.
 * @kernel pci_cap_length
 */
const CONVENTIONAL: ReadonlyMap<number, number | Measure> = new Map<number, number | Measure>([
  [CapId.PM, 8],
  [VPD, 8],
  [CapId.MSI, (hardware, at) => msiRegisters(at, hardware.initial(at + MSI_FLAGS, 2)).length],
  [VENDOR, (hardware, at) => hardware.initial(at + 2, 1)],
  [CapId.EXP, expressLength],
  [CapId.MSIX, 12],
  [CapId.AF, 6],
]);

/** @kernel pci_ext_cap_length */
const EXTENDED: ReadonlyMap<number, number | Measure> = new Map<number, number | Measure>([
  /** Advanced error reporting, up to the root port's registers. */
  [0x01, 44],
  /** Virtual channels: a part for all, then one for each channel. */
  [0x02, (hardware, at) => 16 + 12 * ((hardware.initial(at + 4, 1) & 0x7) + 1)],
  /** Serial number. */
  [0x03, 12],
  /** Power budgeting. */
  [0x04, 16],
  /** Vendor specific. */
  [0x0b, (hardware, at) => hardware.initial(at + 6, 2) >>> 4],
  [0x0d, acsLength],
  /** Alternative routing ids; address translation services; SR-IOV. */
  [0x0e, 8],
  [0x0f, 8],
  [0x10, 0x40],
  /** Multicast; page requests. */
  [0x12, 48],
  [0x13, 16],
  /** Resizable BARs, eight bytes each. */
  [0x15, (hardware, at) => 4 + 8 * ((hardware.initial(at + 8, 1) >>> 5) & 0x7)],
  /** Dynamic power allocation: one byte a substate. */
  [0x16, (hardware, at) => 16 + (hardware.initial(at + 4, 1) & 0x1f) + 1],
  /** Latency tolerance; designated vendor specific. */
  [0x18, 8],
  [0x23, (hardware, at) => hardware.initial(at + 6, 2) >>> 4],
]);

/** Bytes of a capability; 0 when VFIO hides it. @kernel vfio_cap_len, vfio_ext_cap_len */
export function capabilityLength(hardware: ConfigSpace, id: number, at: number, extended: boolean): number {
  const known = (extended ? EXTENDED : CONVENTIONAL).get(id) ?? 0;
  return typeof known === 'number' ? known : known(hardware, at);
}

function expressLength(hardware: ConfigSpace, at: number): number {
  const flags = hardware.initial(at + EXP_FLAGS, 2);
  const isOld = (flags & EXP_FLAGS_VERSION) === 1;
  if ((flags & EXP_FLAGS_TYPE) === TYPE_RC_END) return isOld ? 0x0c : 0x2c;
  return isOld ? 0x14 : 0x3c;
}

/** The control vector of egress has a bit for every port. */
function acsLength(hardware: ConfigSpace, at: number): number {
  if ((hardware.initial(at + 4, 1) & ACS_EGRESS) === 0) return 8;
  const bits = hardware.initial(at + 5, 1);
  return 8 + (bits === 0 ? 256 : Math.ceil(bits / 32) * 32) / 8;
}
