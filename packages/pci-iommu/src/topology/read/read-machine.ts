import { readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { readSysfs } from '../sysfs/read-sysfs.ts';
import { unzipped } from '../sysfs/unzipped.ts';
import { TopologyError } from '../topology-error.ts';
import { MACHINE_READERS } from './formats.ts';
import type { MachineReading, ReadOptions } from './machine-reading.ts';
import { SourceBytes } from './source-bytes.ts';

const MIB = 2 ** 20;
/** Far above any listing; what is larger is something else. */
const MAX_LENGTH = 256 * MIB;

/**
 * Reads a machine from what people have: output of `lspci` in any form and mix, drawings, group listings, boot logs,
 * machine descriptions in JSON, tar archives of sysfs; packed with gzip or not. The content tells the format.
 *
 * @throws TopologyError with the line, when the input cannot be read or contradicts itself
 * @example
 * const { description, unknowns } = readMachine(readFileSync('lspci.txt'));
 */
export function readMachine(input: string | Uint8Array, options: ReadOptions = {}): MachineReading {
  const content = unzipped(input);
  if (content.length > MAX_LENGTH) {
    throw new TopologyError(`expected at most ${MAX_LENGTH / MIB} MiB, got ${Math.ceil(content.length / MIB)} MiB`);
  }
  const source = new SourceBytes(content, options.name ?? 'machine');
  const reader = MACHINE_READERS.find((candidate) => candidate.recognises(source));
  if (reader === undefined) throw new TopologyError('expected a listing, a machine description or a snapshot');
  return reader.read(source, options);
}

/**
 * {@link readMachine} for a file, or for a folder with a copy of sysfs. The machine takes the file's name unless the options give one.
 *
 * @throws TopologyError as above, also when there is no such file
 */
export function readMachineFile(path: string, options: ReadOptions = {}): MachineReading {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined) throw new TopologyError(`no such file: ${path}`);
  if (status.isDirectory()) return readSysfs(path, { name: nameOfFile(path), ...options });
  if (status.isCharacterDevice() || status.isBlockDevice()) throw new TopologyError(`no file, but a device: ${path}`);
  return readMachine(bytesOf(path), { name: nameOfFile(path), ...options });
}

function bytesOf(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new TopologyError(error instanceof Error ? error.message : String(error));
  }
}

/** `lab-7.lspci.txt` is `lab-7`. */
function nameOfFile(path: string): string {
  const name = basename(path).split('.')[0] ?? '';
  return name === '' ? 'machine' : name;
}
