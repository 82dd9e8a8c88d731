import { section } from './database.ts';

/** What people call a function. */
export interface DeviceNames {
  readonly vendor: string;
  readonly device: string;
  readonly class: string;
}

const KEY_DIGITS = 4;

/**
 * Names of a vendor, a device and a class as `lspci` prints them; numbers stand in for what the list of PCI IDs does not have
 * (`Vendor 1234`, `Device 5678`, `Class ff80`), and `unknown` for what is `null`.
 *
 * @param classCode - class, subclass and programming interface in 24 bits
 * @example
 * deviceNames(0x15b3, 0x1021, 0x020700).device; // 'MT2910 Family [ConnectX-7]'
 */
export function deviceNames(vendor: number | null, device: number | null, classCode: number | null): DeviceNames {
  return {
    vendor: vendorName(vendor) ?? numbered('Vendor', vendor),
    device: deviceName(vendor, device) ?? numbered('Device', device),
    class: className(classCode) ?? numbered('Class', classCode === null ? null : classCode >>> 8),
  };
}

/** Name of a vendor, if the list has it. */
export function vendorName(vendor: number | null): string | undefined {
  return vendor === null ? undefined : section(keyOf(vendor))?.name;
}

/** Name of a device, if the list has it. */
export function deviceName(vendor: number | null, device: number | null): string | undefined {
  if (vendor === null || device === null) return undefined;
  return section(keyOf(vendor))?.children.get(device)?.name;
}

/** Name of class and subclass of a 24-bit class code, if the list has it. */
export function className(classCode: number | null): string | undefined {
  return classCode === null ? undefined : subclass(classCode)?.name;
}

/** Name of the programming interface of a 24-bit class code, if the list has it. */
export function progIfName(classCode: number | null): string | undefined {
  return classCode === null ? undefined : subclass(classCode)?.children.get(classCode & 0xff)?.name;
}

function subclass(classCode: number): ReturnType<typeof section> {
  const base = (classCode >>> 16).toString(16).padStart(2, '0');
  return section(`C ${base}`)?.children.get((classCode >>> 8) & 0xff);
}

function keyOf(id: number): string {
  return id.toString(16).padStart(KEY_DIGITS, '0');
}

function numbered(word: string, id: number | null): string {
  return `${word} ${id === null ? 'unknown' : keyOf(id)}`;
}
