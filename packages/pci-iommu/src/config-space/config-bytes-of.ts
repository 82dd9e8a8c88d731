import type { TopologyFunction } from '../topology/index.ts';
import { layOutConfig } from './layout/config-layout.ts';

/**
 * The bytes of a function's configuration space as its description has them: 4096, or 256 without PCI Express. Where the
 * description came from a dump, these are the dump's bytes; `decodeConfig` gives the facts of the description back.
 */
export function configBytesOf(fn: TopologyFunction): Uint8Array {
  return layOutConfig(fn).bytes;
}
