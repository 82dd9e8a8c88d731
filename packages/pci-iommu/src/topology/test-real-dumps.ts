import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Listings of real machines are not part of the repository: they are where the variable says, else beside it. */
const directory =
  process.env['DMABUF_EMU_DATA'] ?? fileURLToPath(new URL('../../../../../shared/data', import.meta.url));

/** The directory of the listings, or `null`. */
export const realDumps: string | null = existsSync(join(directory, 'pci')) ? directory : null;

/** For the title of a test, so that a run without listings says so. */
export const realDumpsState =
  realDumps === null
    ? 'ABSENT: put them beside the repository in ../shared/data or set DMABUF_EMU_DATA; only own fixtures ran'
    : 'present';

/** Names such as `pci/x.txt` of all listings of a kind. */
export function realDumpNames(suffix: RegExp): readonly string[] {
  if (realDumps === null) return [];
  const root = realDumps;
  return ['pci', 'config'].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => suffix.test(name))
      .map((name) => `${folder}/${name}`),
  );
}

export function readRealDump(name: string): string {
  return readFileSync(join(realDumps ?? '', name), 'utf8');
}

export function readRealDumpBytes(name: string): Uint8Array {
  return readFileSync(join(realDumps ?? '', name));
}
