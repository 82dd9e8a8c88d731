import type { CpuDescription } from '../description/machine-description.ts';
import type { RawFunction } from '../lspci/raw-function.ts';
import type { ReadingNotes } from '../read/reading-notes.ts';
import { familiesOfFunction } from './cpu-families.ts';

const CPU_VENDORS: ReadonlyMap<number, string> = new Map([
  [0x1022, 'AMD'],
  [0x1d94, 'Hygon'],
  [0x8086, 'Intel'],
  [0x13b5, 'ARM'],
  [0x10de, 'NVIDIA'],
  [0x1014, 'IBM'],
  [0x1def, 'Ampere'],
  [0x19e5, 'HiSilicon'],
  [0x177d, 'Cavium'],
]);
const HOST_BRIDGE_CLASS = 0x0600;
const FAMILY_PATTERN = /\bFamily ([0-9a-f]{2})h\b/iu;

/** The processor as far as the root complex tells: vendor and family by ids, or by the family in a function's name. */
export function cpuOfListing(functions: readonly RawFunction[], notes: ReadingNotes): CpuDescription {
  const roots = functions.filter((fn) => fn.class !== null && fn.class >>> 8 === HOST_BRIDGE_CLASS);
  const root = roots.find((fn) => fn.vendor !== null) ?? functions[0];
  const vendor = CPU_VENDORS.get(root?.vendor ?? -1) ?? 'unknown';
  return { vendor, family: namedFamily(functions) ?? tabledFamily(functions, vendor, notes) };
}

function namedFamily(functions: readonly RawFunction[]): number | null {
  const digits = functions.map((fn) => FAMILY_PATTERN.exec(fn.deviceName)?.[1]).find((found) => found !== undefined);
  return digits === undefined ? null : Number.parseInt(digits, 16);
}

/** The family that all known functions agree on; the lowest when they leave a choice. */
function tabledFamily(functions: readonly RawFunction[], vendor: string, notes: ReadingNotes): number | null {
  let possible: readonly number[] | null = null;
  for (const fn of functions) {
    const families = familiesOfFunction(fn.vendor, fn.device);
    if (families === null) continue;
    const both: readonly number[] = possible === null ? families : possible.filter((one) => families.includes(one));
    if (both.length > 0) possible = both;
  }
  const lowest = possible?.[0];
  if (possible === null || lowest === undefined) return null;
  if (possible.length > 1) {
    const choice = possible.map((family) => `0x${family.toString(16)}`).join(' or ');
    notes.unknown(null, 'cpu', `processor family of ${vendor} is ${choice} by the root complex; the lowest is taken`);
  }
  return lowest;
}
