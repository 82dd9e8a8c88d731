// What poll and merge come down to without files, locks and references.
import { nsUndisturbed } from '../lib/stats.mjs';

const SIGNALED = 1;
const STRIDE = 16;

/** Loads `count` state words that lie a cache line apart. */
export function stateWords({ count }) {
  const at = Array.from({ length: count }, (_, i) => i * STRIDE);
  const turn = (state) => {
    const words = new Int32Array(new SharedArrayBuffer(count * STRIDE * 4)).fill(state);
    return () => at.map((word) => Atomics.load(words, word) & SIGNALED);
  };
  return nsUndisturbed({ ready_ns: turn(SIGNALED), unready_ns: turn(0) });
}

/** Merges two arrays sorted by context; of a context that both have, the later fence stays. */
function mergeSorted(a, b) {
  const merged = [];
  let i = 0;
  let j = 0;
  while (i < a.length && j < b.length) {
    const order = a[i].context - b[j].context;
    if (order < 0) merged.push(a[i++]);
    else if (order > 0) merged.push(b[j++]);
    else {
      merged.push(a[i].seqno >= b[j].seqno ? a[i] : b[j]);
      i++;
      j++;
    }
  }
  while (i < a.length) merged.push(a[i++]);
  while (j < b.length) merged.push(b[j++]);
  return merged;
}

export function mergeArrays({ fences }) {
  const from = (first) => Array.from({ length: fences }, (_, i) => ({ context: first + i, seqno: 1 }));
  const one = from(0);
  const turn = (other, expected) => {
    if (mergeSorted(one, other).length !== expected) throw new Error('merged wrongly');
    return () => mergeSorted(one, other);
  };
  return nsUndisturbed({
    shared_ns: turn(from(fences / 2), fences * 1.5),
    disjoint_ns: turn(from(fences), fences * 2),
  });
}
