import { TopologyError } from '../topology/index.ts';

/**
 * One row of the list of host bridges that are known to forward peer-to-peer traffic.
 *
 * @kernel struct pci_p2pdma_whitelist_entry
 */
export interface WhitelistRow {
  readonly vendor: number;
  /** `null` stands for every device id of the vendor. */
  readonly device: number | null;
  /** Only between functions below the same host bridge. @kernel REQ_SAME_HOST_BRIDGE */
  readonly sameHostBridge: boolean;
}

const INTEL = 0x8086;
const GOOGLE = 0x1ae0;
const NVIDIA = 0x10de;

function rows(vendor: number, sameHostBridge: boolean, devices: readonly number[]): readonly WhitelistRow[] {
  return devices.map((device) => ({ vendor, device, sameHostBridge }));
}

/**
 * The rows in the kernel's order; the first that matches decides.
 *
 * @kernel pci_p2pdma_whitelist
 */
export const HOST_BRIDGE_WHITELIST: readonly WhitelistRow[] = [
  // Xeon E5 / Core i7, and E7 v3
  ...rows(INTEL, true, [0x3c00, 0x3c01, 0x2f00, 0x2f01]),
  // Skylake-E and later
  ...rows(INTEL, false, [0x2030, 0x2031, 0x2032, 0x2033, 0x2020, 0x09a2]),
  // Accelerators that are the first device of their root bus: DSA, IAX
  ...rows(INTEL, false, [0x0b25, 0x0cfe, 0x11fb, 0x1212, 0x1216]),
  // QAT
  ...rows(INTEL, false, [0x4940, 0x4942, 0x4944, 0x4946, 0x4948]),
  { vendor: GOOGLE, device: null, sameHostBridge: false },
  ...rows(NVIDIA, false, [0x2f95, 0x2f96, 0x2f97, 0x2f98]),
];

/**
 * The list of a kernel that does not know some host bridges yet, named as in `8086:09a2` (which came with 5.18).
 *
 * @throws TopologyError for what is in no row
 */
export function whitelistWithout(...ids: readonly string[]): readonly WhitelistRow[] {
  const gone = ids.map((id) => {
    const row = HOST_BRIDGE_WHITELIST.find((candidate) => rowName(candidate) === id.toLowerCase());
    if (row === undefined) throw new TopologyError(`host bridge ${JSON.stringify(id)} is not on the list`);
    return row;
  });
  return HOST_BRIDGE_WHITELIST.filter((row) => !gone.includes(row));
}

function rowName({ vendor, device }: WhitelistRow): string {
  const hex = (id: number): string => id.toString(16).padStart(4, '0');
  return `${hex(vendor)}:${device === null ? '*' : hex(device)}`;
}
