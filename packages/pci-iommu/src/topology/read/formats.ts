import { jsonReader } from './json-reader.ts';
import { ncclReader } from '../nccl/read-nccl.ts';
import { sysfsReader } from '../sysfs/read-sysfs.ts';
import type { MachineReader } from './machine-reader.ts';
import { textReader } from './text-reader.ts';

/** All readers; the first that recognises the source reads it, and the last one takes whatever is left. */
export const MACHINE_READERS: readonly MachineReader[] = [sysfsReader, ncclReader, jsonReader, textReader];
