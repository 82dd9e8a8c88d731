import { pciIds } from '../pci-ids/database.ts';

/** Ids that a name stands for. */
export interface NamedIds {
  readonly vendor: number | null;
  readonly device: number | null;
}

/** Names of the list of PCI IDs, looked up the other way round. */
interface NameIndex {
  readonly vendors: ReadonlyMap<string, readonly number[]>;
  /** Ids by vendor id and name; -1 for a name that stands for several. */
  readonly devices: ReadonlyMap<string, number>;
  readonly classes: ReadonlyMap<string, number>;
}

const VENDOR_LINE = /^([0-9a-f]{4}) {2}(.+)$/u;
const DEVICE_LINE = /^\t([0-9a-f]{4}) {2}(.+)$/u;
const CLASS_LINE = /^C ([0-9a-f]{2}) {2}(.+)$/u;
const SUBCLASS_LINE = /^\t([0-9a-f]{2}) {2}(.+)$/u;
const SEVERAL = -1;
/** Longer than any vendor and device together. */
const MAX_NAME = 300;
/** What `lspci` prints for a class of which the list knows no subclass. */
const UNNAMED_CLASS = /^Class \[?([0-9a-f]{4})\]?$/iu;

let index: NameIndex | undefined;

/** Class and subclass of a class name, or `null` when no class or several have it. */
export function classOfName(name: string): number | null {
  const unnamed = UNNAMED_CLASS.exec(name)?.[1];
  if (unnamed !== undefined) return Number.parseInt(unnamed, 16);
  const found = names().classes.get(name);
  return found === undefined || found === SEVERAL ? null : found;
}

/** The ids behind `Vendor Name Device Name`, each only when the names stand for nothing else. */
export function idsOfNames(text: string): NamedIds {
  if (text.length > MAX_NAME) return { vendor: null, device: null };
  const { vendors, devices } = names();
  let vendor: number | null = null;
  for (let end = text.length; end > 0; end = text.lastIndexOf(' ', end - 1)) {
    const ids = vendors.get(text.slice(0, end));
    if (ids === undefined) continue;
    const found = ids
      .map((id) => ({ vendor: id, device: devices.get(`${id} ${text.slice(end + 1)}`) }))
      .filter(({ device }) => device !== undefined);
    const [first] = found;
    if (first?.device !== undefined && found.length === 1) {
      return { vendor: first.vendor, device: first.device === SEVERAL ? null : first.device };
    }
    vendor ??= ids.length === 1 ? (ids[0] ?? null) : null;
  }
  return { vendor, device: null };
}

function names(): NameIndex {
  index ??= readNames();
  return index;
}

function readNames(): NameIndex {
  const vendors = new Map<string, number[]>();
  const devices = new Map<string, number>();
  const classes = new Map<string, number>();
  let vendor = 0;
  let base = -1;
  for (const line of pciIds().split('\n')) {
    if (line.startsWith('\t\t') || line.startsWith('#')) continue;
    if (line.startsWith('\t')) {
      const child = (base < 0 ? DEVICE_LINE : SUBCLASS_LINE).exec(line);
      if (child === null) continue;
      const id = Number.parseInt(child[1] ?? '', 16);
      const name = child[2] ?? '';
      if (base < 0) add(devices, `${vendor} ${name}`, id);
      else add(classes, name, base * 0x100 + id);
      continue;
    }
    const heading = VENDOR_LINE.exec(line);
    const group = heading === null ? CLASS_LINE.exec(line) : null;
    if (group !== null) base = Number.parseInt(group[1] ?? '', 16);
    if (heading === null) continue;
    vendor = Number.parseInt(heading[1] ?? '', 16);
    const same = vendors.get(heading[2] ?? '');
    if (same === undefined) vendors.set(heading[2] ?? '', [vendor]);
    else same.push(vendor);
  }
  return { vendors, devices, classes };
}

function add(map: Map<string, number>, name: string, id: number): void {
  map.set(name, map.has(name) ? SEVERAL : id);
}
