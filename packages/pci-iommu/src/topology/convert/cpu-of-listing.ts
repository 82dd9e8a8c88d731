import type { CpuDescription } from '../description/machine-description.ts';
import type { RawFunction } from '../lspci/raw-function.ts';

const CPU_VENDORS: ReadonlyMap<number, string> = new Map([
  [0x1022, 'AMD'],
  [0x1d94, 'Hygon'],
  [0x8086, 'Intel'],
  [0x13b5, 'ARM'],
]);
const HOST_BRIDGE_CLASS = 0x0600;
const FAMILY_PATTERN = /\bFamily ([0-9a-f]{2})h\b/iu;

/** The processor as far as the root complex tells: its vendor, and the family where the device's name holds it. */
export function cpuOfListing(functions: readonly RawFunction[], warnings: string[]): CpuDescription {
  const roots = functions.filter((fn) => fn.class !== null && fn.class >>> 8 === HOST_BRIDGE_CLASS);
  const root = roots[0] ?? functions[0];
  const vendor =
    (root?.vendor === undefined || root.vendor === null ? undefined : CPU_VENDORS.get(root.vendor)) ?? 'unknown';
  const family = roots.map((fn) => FAMILY_PATTERN.exec(fn.deviceName)?.[1]).find((digits) => digits !== undefined);
  if (family === undefined) {
    warnings.push(`cpu: ${vendor}, family not in the listing; give it, peer-to-peer rules depend on it`);
  }
  return { vendor, family: family === undefined ? null : Number.parseInt(family, 16) };
}
