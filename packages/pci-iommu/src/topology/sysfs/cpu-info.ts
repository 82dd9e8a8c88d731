import type { CpuDescription } from '../description/machine-description.ts';

const VENDORS: ReadonlyMap<string, string> = new Map([
  ['AuthenticAMD', 'AMD'],
  ['GenuineIntel', 'Intel'],
  ['HygonGenuine', 'Hygon'],
]);
const ARM_IMPLEMENTER = '0x41';

/** The processor's vendor by the 12 letters that it answers to CPUID; other texts stay as they are. */
export function cpuVendorOf(text: string): string {
  return VENDORS.get(text) ?? text;
}

/** The processor in the text of /proc/cpuinfo; `null` when it names no vendor. */
export function readCpuInfo(text: string): CpuDescription | null {
  const field = (name: string): string | undefined => new RegExp(`^${name}\\s*:\\s*(.+)$`, 'mu').exec(text)?.[1];
  const vendor = field('vendor_id');
  if (vendor !== undefined) return { vendor: cpuVendorOf(vendor.trim()), family: wholeOrNull(field('cpu family')) };
  const implementer = field('CPU implementer');
  if (implementer === undefined) return null;
  return { vendor: implementer.trim() === ARM_IMPLEMENTER ? 'ARM' : `implementer ${implementer.trim()}`, family: null };
}

function wholeOrNull(text: string | undefined): number | null {
  const value = Number(text);
  return Number.isInteger(value) ? value : null;
}
