import type { Bdf } from '../bdf.ts';

/** The files of one function as sysfs has them, wherever they are kept. */
export interface SysfsFolder {
  /** Contents of a file of the function's folder; `null` when it is not there or not readable. */
  read(name: string): Uint8Array | null;
  /** Last part of where a symbolic link of the function's folder leads (`iommu_group`, `driver`, `physfn`), or `null`. */
  link(name: string): string | null;
  /** Functions above it in the device tree, from the root bus down; `null` when the snapshot does not tell. */
  readonly above: readonly Bdf[] | null;
}

/** All functions of a machine, and what lies beside /sys. */
export interface SysfsSnapshot {
  readonly folders: ReadonlyMap<Bdf, SysfsFolder>;
  /** Text of /proc/cpuinfo, if the snapshot has it. */
  readonly cpuInfo: string | null;
  /** Text of /proc/iomem, if the snapshot has it. */
  readonly ioMemory: string | null;
}

/** Whether a folder that holds these files is one of a function. */
export function isFunctionFolder(names: ReadonlySet<string>): boolean {
  return names.has('config') || names.has('vendor');
}

const DEVICE_PATH_PATTERN = /(?:^|\/)pci[0-9a-f]{4,}:[0-9a-f]{2}\/(.+)$/u;

/** The functions in `devices/pci0000:00/0000:00:01.0/0000:01:00.0` but the last; `null` for other paths. */
export function functionsAbove(path: string): readonly Bdf[] | null {
  const below = DEVICE_PATH_PATTERN.exec(path)?.[1];
  return below === undefined ? null : below.split('/').slice(0, -1);
}
