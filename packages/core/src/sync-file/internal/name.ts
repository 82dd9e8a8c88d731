import { MAX_NAME_BYTES } from './structs.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** As many bytes of a name as a kernel structure has room for. @kernel strscpy */
export function nameBytes(name: string | Uint8Array, room = MAX_NAME_BYTES): Uint8Array {
  return (typeof name === 'string' ? encoder.encode(name) : name).subarray(0, room);
}

/** A name cut to the room that kernel structures have. */
export function cutName(name: string, room = MAX_NAME_BYTES): string {
  return decoder.decode(nameBytes(name, room));
}
