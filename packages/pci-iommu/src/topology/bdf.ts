import { TopologyError } from './topology-error.ts';

/** Name of a PCI function: `dddd:bb:dd.f`, lower case, domain always written. */
export type Bdf = string;

/** The numbers in a {@link Bdf}. */
export interface BdfParts {
  readonly domain: number;
  readonly bus: number;
  /** Device number on the bus, 0..31. */
  readonly slot: number;
  /** Function number in the device, 0..7. */
  readonly func: number;
}

const BDF_PATTERN = /^(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])$/iu;
const MAX_SLOT = 31;

/** The numbers in `text`, or `undefined` when it is not a function's name. The domain may be left out (0). */
export function tryParseBdf(text: string): BdfParts | undefined {
  const match = BDF_PATTERN.exec(text);
  if (match === null) return undefined;
  const slot = Number.parseInt(match[3] ?? '', 16);
  if (slot > MAX_SLOT) return undefined;
  return {
    domain: Number.parseInt(match[1] ?? '0', 16),
    bus: Number.parseInt(match[2] ?? '', 16),
    slot,
    func: Number.parseInt(match[4] ?? '', 16),
  };
}

/**
 * The numbers in `text`; the domain may be left out (0).
 *
 * @throws TopologyError when `text` is not `[domain:]bus:device.function`
 */
export function parseBdf(text: string): BdfParts {
  const parts = tryParseBdf(text);
  if (parts === undefined) {
    throw new TopologyError(
      `expected a PCI function such as 0000:41:00.0 or 41:00.0 (device at most 1f, function at most 7), got ${JSON.stringify(text)}`,
    );
  }
  return parts;
}

/** `0000:41:00.0` from its numbers. */
export function formatBdf(parts: BdfParts): Bdf {
  return `${formatBus(parts.domain, parts.bus)}:${hexByte(parts.slot)}.${parts.func}`;
}

/** `0000:41` from its numbers. */
export function formatBus(domain: number, bus: number): string {
  return `${domain.toString(16).padStart(4, '0')}:${hexByte(bus)}`;
}

/** Device and function in one byte, as the kernel keeps it. @kernel PCI_DEVFN */
export function devfnOf(parts: Pick<BdfParts, 'slot' | 'func'>): number {
  return parts.slot * 8 + parts.func;
}

/** Bus, device and function in 16 bits: what travels in a packet as requester id. @kernel pci_dev_id */
export function requesterIdOf(parts: BdfParts): number {
  return parts.bus * 0x100 + devfnOf(parts);
}

/** One number per function of the machine, ascending in domain, bus, device, function. */
export function bdfKey(parts: BdfParts): number {
  return parts.domain * 0x1_0000 + requesterIdOf(parts);
}

/** One number per bus of the machine. */
export function busKey(domain: number, bus: number): number {
  return domain * 0x100 + bus;
}

function hexByte(value: number): string {
  return value.toString(16).padStart(2, '0');
}
