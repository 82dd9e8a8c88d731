import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Listings of real machines are not part of the repository: they are where the variable says, else beside it. */
const folder = process.env['DMABUF_EMU_DATA'] ?? fileURLToPath(new URL('../../../../../shared/data', import.meta.url));
const present = existsSync(join(folder, 'pci'));

/** For the title of a test, so that a run without listings says so. */
export const realFilesState = present
  ? 'present'
  : 'ABSENT: put them beside the repository in ../shared/data or set DMABUF_EMU_DATA; only built-in machines were shown';

/** Paths of all listings of real machines. */
export const realFiles: readonly string[] = present
  ? ['pci', 'config'].flatMap((part) => readdirSync(join(folder, part)).map((name) => join(folder, part, name)))
  : [];

/** The path of one listing. */
export function realFile(name: string): string {
  return join(folder, name);
}
