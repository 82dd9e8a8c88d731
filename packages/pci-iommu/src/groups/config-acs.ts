import { ACS_ALL_BITS, TopologyError } from '../topology/index.ts';
import { type DevicePattern, parseDevicePattern } from './device-pattern.ts';

/** One entry of `pci=config_acs=`: what becomes of which bits of which functions. */
export interface ConfigAcsEntry {
  /** Bits that are forced. */
  readonly mask: number;
  /** What they are forced to. */
  readonly flags: number;
  readonly matches: DevicePattern;
}

const FLAGS_PATTERN = /^[01x]*$/iu;

/**
 * Reads the text after `pci=config_acs=`: `FLAGS@DEVICE`, several separated by `;`. Flags are written from the highest
 * bit down to bit 0 (source validation), each 0, 1 or x for as it was.
 *
 * @throws TopologyError naming the entry that cannot be read
 * @kernel __pci_config_acs
 */
export function parseConfigAcs(text: string): readonly ConfigAcsEntry[] {
  return text
    .split(/[;,]/u)
    .filter((entry) => entry !== '')
    .map((entry) => readEntry(entry));
}

function readEntry(entry: string): ConfigAcsEntry {
  const at = entry.indexOf('@');
  const digits = entry.slice(0, Math.max(at, 0));
  if (at < 0 || !FLAGS_PATTERN.test(digits)) {
    throw new TopologyError(
      `config_acs: expected FLAGS@DEVICE with flags of 0, 1 and x, such as 10x@0000:0b:00.0, got ${JSON.stringify(entry)}`,
    );
  }
  let mask = 0;
  let flags = 0;
  digits
    .split('')
    .toReversed()
    .forEach((digit, bit) => {
      if (digit === '0' || digit === '1') mask |= 1 << bit;
      if (digit === '1') flags |= 1 << bit;
    });
  if ((mask & ~ACS_ALL_BITS) !== 0) {
    throw new TopologyError(`config_acs: ACS has 7 bits, got ${digits.length} in ${JSON.stringify(entry)}`);
  }
  return { mask, flags, matches: parseDevicePattern(entry.slice(at + 1)) };
}
