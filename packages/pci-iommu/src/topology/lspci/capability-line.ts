import { ACS_FLAG_NAMES } from '../acs.ts';
import { PcieType } from '../pcie-type.ts';
import { TopologyError } from '../topology-error.ts';
import type { LogicalLine } from './logical-lines.ts';
import type { RawCapability } from './raw-function.ts';

const CAPABILITY_PATTERN = /^Capabilities:\s+\[([0-9a-f]+)(?: v\d+)?\] (.*)$/iu;
const EXTENDED_START = 0x100;
const EXPRESS_PATTERN = /^Express (?:\(v\d+\) )?(.*)$/u;

/** PCIe types by the words of `lspci`; longer words stand before the words they contain. */
const EXPRESS_TYPES: readonly (readonly [words: string, type: PcieType])[] = [
  ['Root Complex Integrated Endpoint', PcieType.RootComplexEndpoint],
  ['Root Complex Event Collector', PcieType.RootComplexEventCollector],
  ['Root Port', PcieType.RootPort],
  ['Upstream Port', PcieType.UpstreamPort],
  ['Downstream Port', PcieType.DownstreamPort],
  ['Legacy Endpoint', PcieType.LegacyEndpoint],
  ['Endpoint', PcieType.Endpoint],
  ['PCI-Express to PCI', PcieType.PcieToPciBridge],
  ['PCI/PCI-X to PCI-Express', PcieType.PciToPcieBridge],
];

/** Whether a line starts a capability. */
export function isCapabilityLine(text: string): boolean {
  return text.startsWith('Capabilities:');
}

/**
 * Reads `Capabilities: [100 v1] Name`.
 *
 * @returns the capability, or `null` for `<access denied>`
 * @throws TopologyError when the offset is missing
 */
export function parseCapabilityLine(line: LogicalLine): RawCapability | null {
  if (line.text.includes('<access denied>')) return null;
  const match = CAPABILITY_PATTERN.exec(line.text);
  if (match === null) {
    throw new TopologyError(`expected "Capabilities: [OFFSET] NAME", got ${JSON.stringify(line.text)}`, {
      line: line.line,
    });
  }
  const offset = Number.parseInt(match[1] ?? '', 16);
  return { offset, extended: offset >= EXTENDED_START, id: null, name: match[2] ?? '' };
}

/** The PCIe device/port type in `Express (v2) Root Port (Slot+), MSI 00`; `undefined` for other capabilities. */
export function expressType(name: string): PcieType | 'unknown' | undefined {
  const words = EXPRESS_PATTERN.exec(name)?.[1];
  if (words === undefined) return undefined;
  return EXPRESS_TYPES.find(([prefix]) => words.startsWith(prefix))?.[1] ?? 'unknown';
}

/**
 * Reads the flags of an `ACSCap:` or `ACSCtl:` line into a register value.
 *
 * @throws TopologyError when a flag is missing
 */
export function parseAcsFlags(line: LogicalLine): number {
  let bits = 0;
  ACS_FLAG_NAMES.forEach((name, bit) => {
    const at = line.text.indexOf(name);
    const mark = at < 0 ? '' : line.text.charAt(at + name.length);
    if (mark !== '+' && mark !== '-') {
      throw new TopologyError(`expected ${name}+ or ${name}- among the ACS flags, got ${JSON.stringify(line.text)}`, {
        line: line.line,
      });
    }
    if (mark === '+') bits |= 1 << bit;
  });
  return bits;
}
