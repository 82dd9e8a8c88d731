import { basename, dirname } from 'node:path/posix';
import { type Bdf, formatBdf, tryParseBdf } from '../bdf.ts';
import { functionsAbove, isFunctionFolder, type SysfsFolder, type SysfsSnapshot } from './sysfs-snapshot.ts';
import { readTar, type TarEntry } from './tar-archive.ts';

/** A copy of sysfs in a tar archive: with the device tree and its links, or just a folder for each function. */
export function tarSnapshot(bytes: Uint8Array): SysfsSnapshot {
  const byFolder = new Map<string, Map<string, TarEntry>>();
  const proc = new Map<string, string>();
  for (const entry of readTar(bytes)) {
    const ofProc = /(?:^|\/)proc\/(cpuinfo|iomem)$/u.exec(entry.path)?.[1];
    if (ofProc !== undefined) proc.set(ofProc, new TextDecoder().decode(entry.bytes));
    const folder = dirname(entry.path);
    if (tryParseBdf(basename(folder)) === undefined) continue;
    const files = byFolder.get(folder) ?? new Map<string, TarEntry>();
    files.set(basename(entry.path), entry);
    byFolder.set(folder, files);
  }
  const folders = new Map<Bdf, SysfsFolder>();
  for (const [path, files] of byFolder) {
    const parts = tryParseBdf(basename(path));
    if (parts === undefined || !isFunctionFolder(new Set(files.keys()))) continue;
    const bdf = formatBdf(parts);
    const folder = new TarFolder(path, files);
    // A folder in the device tree tells more than a copy of it.
    if (folder.above !== null || !folders.has(bdf)) folders.set(bdf, folder);
  }
  return { folders, cpuInfo: proc.get('cpuinfo') ?? null, ioMemory: proc.get('iomem') ?? null };
}

class TarFolder implements SysfsFolder {
  readonly above: readonly Bdf[] | null;
  readonly #files: ReadonlyMap<string, TarEntry>;

  constructor(path: string, files: ReadonlyMap<string, TarEntry>) {
    this.above = functionsAbove(path);
    this.#files = files;
  }

  read(name: string): Uint8Array | null {
    const entry = this.#files.get(name);
    return entry === undefined || entry.target !== null ? null : entry.bytes;
  }

  link(name: string): string | null {
    const target = this.#files.get(name)?.target;
    return target === undefined || target === null ? null : basename(target);
  }
}
