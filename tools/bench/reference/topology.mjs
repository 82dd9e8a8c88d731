// What reading text costs on the bare platform.
import { listing } from '../ours/topology.mjs';

export function limit({ ms }) {
  return { read_ms: ms };
}

/** Every word of every line, looked at once. */
export function splitWords({ bytes }) {
  const text = listing(bytes, false);
  const start = performance.now();
  let words = 0;
  for (const line of text.split('\n')) words += line.split(/\s+/).length;
  return { read_ms: performance.now() - start, words };
}
