import { type Bdf, formatBus, parseBdf } from '../bdf.ts';
import { describeFunctions } from '../convert/describe-functions.ts';
import { groupsOf } from '../listing/read-group-listing.ts';
import { readIoMemory } from '../listing/iomem.ts';
import type { LogicalLine } from '../lspci/logical-lines.ts';
import type { RawBusNumbers } from '../lspci/raw-function.ts';
import { hostWindowsOf } from '../read/host-windows-of-text.ts';
import type { MachineReader } from '../read/machine-reader.ts';
import type { MachineReading, ReadOptions } from '../read/machine-reading.ts';
import { ReadingNotes } from '../read/reading-notes.ts';
import { TopologyError } from '../topology-error.ts';
import { readCpuInfo } from './cpu-info.ts';
import { folderSnapshot } from './folder-snapshot.ts';
import { rawFunctionFromSysfs, readSysfsFolder, type SysfsFunction } from './sysfs-function.ts';
import type { SysfsSnapshot } from './sysfs-snapshot.ts';
import { isTar } from './tar-archive.ts';
import { tarSnapshot } from './tar-snapshot.ts';

/** Copies of sysfs in a tar archive. */
export const sysfsReader: MachineReader = {
  recognises: (source) => isTar(source.bytes),
  read: (source, options) => readSnapshot(tarSnapshot(source.bytes), source.name, options),
};

/**
 * Reads a machine from a copy of sysfs: /sys, /sys/bus/pci/devices, or any folder that holds one.
 *
 * @throws TopologyError when there is no function in it, or what is there contradicts itself
 */
export function readSysfs(path: string, options: ReadOptions = {}): MachineReading {
  return readSnapshot(folderSnapshot(path), options.name ?? 'machine', options);
}

/**
 * Reads the machine that this program runs on. Without privileges the kernel shows 64 bytes of config space only, and ACS stays
 * unknown.
 *
 * @throws TopologyError when the machine has no PCI, or shows none
 */
export function readLiveMachine(root = '/sys', options: ReadOptions = {}): MachineReading {
  return readSysfs(root, { name: 'live', title: 'The running machine', ...options });
}

function readSnapshot(snapshot: SysfsSnapshot, name: string, options: ReadOptions): MachineReading {
  const functions = functionsOf(snapshot);
  if (functions.length === 0) {
    throw new TopologyError(
      'expected folders of PCI functions such as bus/pci/devices/0000:00:00.0 with config, found none',
    );
  }
  const raw = functions.map((fn) => rawFunctionFromSysfs(fn));
  const cpu = options.cpu ?? (snapshot.cpuInfo === null ? null : readCpuInfo(snapshot.cpuInfo));
  const notes = new ReadingNotes(options.lenient === true);
  const { description, unknowns, warnings } = describeFunctions(raw, {
    name: options.name ?? name,
    ...(options.title === undefined ? {} : { title: options.title }),
    ...(cpu === null ? {} : { cpu }),
    rootBuses: rootBusesOf(snapshot),
    ...(snapshot.ioMemory === null ? {} : { hostWindows: windowsOf(snapshot.ioMemory, notes) }),
    ...(options.lenient === undefined ? {} : { lenient: options.lenient }),
  });
  const groups = new Map(raw.flatMap((fn) => (fn.iommuGroup === null ? [] : [[fn.bdf, fn.iommuGroup] as const])));
  return {
    source: { name, format: 'sysfs' },
    description,
    unknowns,
    warnings: [...notes.warnings, ...warnings],
    listedGroups: groups.size === 0 ? null : groupsOf(groups),
  };
}

/** All functions, with bus numbers from the device tree for bridges whose registers are not in the snapshot. */
function functionsOf(snapshot: SysfsSnapshot): readonly SysfsFunction[] {
  const buses = busesByTree(snapshot);
  return [...snapshot.folders].map(([bdf, folder]) => {
    const bus = buses.get(bdf);
    return { ...readSysfsFolder(bdf, folder), ...(bus === undefined ? {} : { bus }) };
  });
}

function windowsOf(ioMemory: string, notes: ReadingNotes): ReturnType<typeof hostWindowsOf> {
  const lines = ioMemory.split('\n').map((text, order): LogicalLine => {
    return { line: order + 1, text: text.trim(), indented: text.startsWith(' '), kind: 'other' };
  });
  return hostWindowsOf({ rootWindows: new Map() }, readIoMemory(lines), notes);
}

/** Buses that the device tree shows right below a host bridge. */
function rootBusesOf(snapshot: SysfsSnapshot): ReadonlySet<string> {
  const onRoot = [...snapshot.folders].filter(([, { above }]) => above?.length === 0);
  return new Set(
    onRoot.map(([bdf]) => {
      const { domain, bus } = parseBdf(bdf);
      return formatBus(domain, bus);
    }),
  );
}

function busesByTree(snapshot: SysfsSnapshot): ReadonlyMap<Bdf, RawBusNumbers> {
  const buses = new Map<Bdf, RawBusNumbers>();
  for (const [bdf, { above }] of snapshot.folders) {
    const { bus } = parseBdf(bdf);
    above?.forEach((bridge, depth) => {
      const known = buses.get(bridge);
      const below = depth === above.length - 1 ? bus : parseBdf(above[depth + 1] ?? bdf).bus;
      buses.set(bridge, {
        primary: parseBdf(bridge).bus,
        secondary: Math.min(known?.secondary ?? below, below),
        subordinate: Math.max(known?.subordinate ?? bus, bus),
      });
    });
  }
  return buses;
}
