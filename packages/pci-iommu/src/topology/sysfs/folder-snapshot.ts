import { type Dirent, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type Bdf, formatBdf, tryParseBdf } from '../bdf.ts';
import { functionsAbove, isFunctionFolder, type SysfsFolder, type SysfsSnapshot } from './sysfs-snapshot.ts';

const DEVICES = 'bus/pci/devices';
/** How deep a copy is searched for folders of functions. */
const MAX_DEPTH = 12;

/**
 * sysfs in a folder: /sys itself, a copy of it, a folder that holds one, or just a folder with one folder for each function.
 * Only names are looked at here; files are read when they are asked for.
 */
export function folderSnapshot(root: string): SysfsSnapshot {
  const [devices, sys] = findDevices(root);
  const paths = devices === null ? walk(root, MAX_DEPTH) : functionFolders(devices);
  const folders = new Map<Bdf, SysfsFolder>();
  for (const path of paths) {
    const parts = tryParseBdf(basename(path));
    if (parts !== undefined) folders.set(formatBdf(parts), new FileFolder(path));
  }
  const ofProc = (name: string): string | null =>
    textOf(join(dirname(sys), 'proc', name)) ?? textOf(join(root, 'proc', name));
  return { folders, cpuInfo: ofProc('cpuinfo'), ioMemory: ofProc('iomem') };
}

/** The folder with a folder or link for each function, and the `/sys` that it is in. */
function findDevices(root: string): readonly [devices: string | null, sys: string] {
  const nested = entriesOf(root).filter((entry) => entry.isDirectory());
  const roots = [root, join(root, 'sys'), ...nested.map((entry) => join(root, entry.name, 'sys'))];
  for (const sys of roots) {
    const devices = join(sys, DEVICES);
    if (functionFolders(devices).length > 0) return [devices, sys];
  }
  return functionFolders(root).length > 0 ? [root, root.replace(/\/bus\/pci\/devices\/?$/u, '')] : [null, root];
}

function functionFolders(folder: string): readonly string[] {
  return entriesOf(folder)
    .filter((entry) => tryParseBdf(entry.name) !== undefined)
    .map((entry) => join(folder, entry.name))
    .filter((path) => isFunctionFolder(new Set(entriesOf(path).map((entry) => entry.name))));
}

/** Folders of functions in a device tree; links are not followed. */
function walk(folder: string, depth: number): readonly string[] {
  if (depth === 0) return [];
  const below = entriesOf(folder).filter((entry) => entry.isDirectory());
  return [...functionFolders(folder), ...below.flatMap((entry) => walk(join(folder, entry.name), depth - 1))];
}

function entriesOf(folder: string): readonly Dirent[] {
  return attempt(() => readdirSync(folder, { withFileTypes: true })) ?? [];
}

function textOf(path: string): string | null {
  return attempt(() => readFileSync(path, 'utf8'));
}

class FileFolder implements SysfsFolder {
  readonly above: readonly Bdf[] | null;
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
    this.above = functionsAbove(attempt(() => realpathSync(path)) ?? path);
  }

  read(name: string): Uint8Array | null {
    return attempt(() => readFileSync(join(this.#path, name)));
  }

  link(name: string): string | null {
    const target = attempt(() => readlinkSync(join(this.#path, name)));
    return target === null ? null : basename(target);
  }
}

/** What the file system says; `null` when it refuses: a file is missing or may not be read. */
function attempt<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}
