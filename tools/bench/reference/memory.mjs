// Copies and fills of shared memory the tempting way, without wasm.
import { gbPerSecond } from '../lib/stats.mjs';

export function typedArrays({ bytes }) {
  const source = new Uint8Array(new SharedArrayBuffer(bytes));
  const target = new Uint8Array(new SharedArrayBuffer(bytes));
  for (let i = 0; i < bytes; i += 512) source[i] = target[i] = 1; // unwritten pages all read from the one zero page
  return {
    copy_GB_s: gbPerSecond(bytes, () => target.set(source)),
    fill_GB_s: gbPerSecond(bytes, (i) => target.fill(i & 255), 2e7),
  };
}
