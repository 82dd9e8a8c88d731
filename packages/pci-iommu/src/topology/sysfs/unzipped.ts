import { gunzipSync } from 'node:zlib';
import { TopologyError } from '../topology-error.ts';

/** What a packed source may unpack to at most. */
const MAX_BYTES = 2 ** 28;

/**
 * The contents of a source that is packed with gzip; others as they are.
 *
 * @throws TopologyError when it cannot be unpacked
 */
export function unzipped(input: string | Uint8Array): string | Uint8Array {
  if (typeof input === 'string' || input[0] !== 0x1f || input[1] !== 0x8b) return input;
  try {
    return gunzipSync(input, { maxOutputLength: MAX_BYTES });
  } catch (error) {
    throw new TopologyError(`cannot unpack: ${error instanceof Error ? error.message : String(error)}`);
  }
}
