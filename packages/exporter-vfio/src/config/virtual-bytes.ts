import type { VfioCore } from '../device/vfio-core.ts';
import { VfioStruct as V } from '../device/vfio-struct.ts';

/** Reads up to 4 bytes of the virtual copy of configuration space; those behind its end are 0. */
export function virtualRead(core: VfioCore, position: number, size: number): number {
  const { u8 } = core.machine.mem;
  const at = (core.p + V.vconfig.at) * 4 + position;
  let value = 0;
  for (let i = 0; i < size && position + i < V.vconfig.words * 4; i++) value |= u8[at + i]! << (8 * i);
  return value >>> 0;
}

/** Writes up to 4 bytes of the virtual copy. */
export function virtualWrite(core: VfioCore, position: number, size: number, value: number): void {
  const { u8 } = core.machine.mem;
  const at = (core.p + V.vconfig.at) * 4 + position;
  for (let i = 0; i < size && position + i < V.vconfig.words * 4; i++) u8[at + i] = value >>> (8 * i);
}
