// What poll and merge come down to without files, locks and references.
import { nsUndisturbed } from '../lib/stats.mjs';

const SIGNALED = 1;
const STRIDE = 16;

/** Loads `count` state words that lie a cache line apart. */
export function stateWords({ count }) {
  const words = new Int32Array(new SharedArrayBuffer(count * STRIDE * 4));
  const at = Array.from({ length: count }, (_, i) => i * STRIDE);
  const time = (state) => {
    words.fill(state);
    let sum = 0;
    const turn = () => {
      const found = at.map((word) => Atomics.load(words, word) & SIGNALED);
      sum += found[0];
    };
    const ns = nsUndisturbed(turn);
    if (sum > 0 !== (state !== 0)) throw new Error('a word changed');
    return ns;
  };
  return { ready_ns: time(SIGNALED), unready_ns: time(0) };
}

const byContext = (a, b) => a.context - b.context;

/** Merges two arrays sorted by context; of a context that both have, the later fence stays. */
function mergeSorted(a, b) {
  const merged = [];
  let i = 0;
  let j = 0;
  while (i < a.length && j < b.length) {
    const order = byContext(a[i], b[j]);
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
  const time = (other, expected) => {
    if (mergeSorted(one, other).length !== expected) throw new Error('merged wrongly');
    let sum = 0;
    return nsUndisturbed(() => {
      sum += mergeSorted(one, other).length;
    });
  };
  return { shared_ns: time(from(fences / 2), fences * 1.5), disjoint_ns: time(from(fences), fences * 2) };
}
