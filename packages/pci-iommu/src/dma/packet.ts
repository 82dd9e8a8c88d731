/** What of a function's packets, beside address and data, is not as usual. */
export interface PacketKind {
  /** Bus, device and function that they say they come from; the true one by default. A malicious or broken device. */
  readonly requesterId?: number;
  /** Addresses were translated by the device itself: it has the translations from ATS. */
  readonly translated?: boolean;
  /** Writes may overtake earlier ones, and answers to reads do not push writes. */
  readonly relaxedOrdering?: boolean;
}

/** Smallest payload and read request. */
const UNIT_BYTES = 128;
const LARGEST_CODE = 5;

/** Longest payload of a write. @param deviceControl - the function's register @kernel pcie_get_mps */
export function payloadBytes(deviceControl: number): number {
  return UNIT_BYTES << Math.min((deviceControl >> 5) & 7, LARGEST_CODE);
}

/** Longest request of a read. @param deviceControl - the function's register @kernel pcie_get_readrq */
export function readRequestBytes(deviceControl: number): number {
  return UNIT_BYTES << Math.min((deviceControl >> 12) & 7, LARGEST_CODE);
}

/**
 * How many bytes of an access are moved when what is behind the first `good` ones fails: those of whole packets. Packets are
 * cut where the address is a multiple of their longest size.
 */
export function wholePackets(address: number, good: number, packetBytes: number): number {
  const end = address + good;
  return Math.max(0, end - (end % packetBytes) - address);
}
