// The collector's work and an object's size when fences are JavaScript objects, and when there are none.
import { median } from '../lib/stats.mjs';

/** Full collections of a heap that holds nothing but this program. Needs --expose-gc. */
export function emptyHeap() {
  return { pause_ms: fullCollection() };
}

class Fence {
  constructor(context, seqno) {
    this.context = context;
    this.seqno = seqno;
    this.flags = 0;
    this.refs = 1;
    this.timestamp = 0;
    this.error = 0;
    this.callbacks = null;
    this.ops = null;
  }

  signal() {
    this.flags |= 1;
  }
}

/** The tempting way: a class instance a fence. */
export function fenceObjects({ count }) {
  globalThis.gc();
  const before = process.memoryUsage().heapUsed;
  const fences = Array.from({ length: count }, (_, i) => new Fence(1, i));
  globalThis.gc();
  const bytes = (process.memoryUsage().heapUsed - before) / count;
  const result = { bytes, pause_ms: fullCollection() };
  if (fences.length !== count) throw new Error('the fences must stay alive until here');
  return result;
}

/** Median ms of a full collection. */
export function fullCollection() {
  globalThis.gc();
  globalThis.gc();
  const times = [];
  for (let i = 0; i < 9; i++) {
    const start = performance.now();
    globalThis.gc();
    times.push(performance.now() - start);
  }
  return median(times);
}

/**
 * Bytes of the kernel's own `struct dma_fence` on x86-64: lock pointer 8, ops 8, callback list / time stamp / rcu head
 * 16, context 8, seqno 8, flags 8, refcount 4, error 4.
 */
export function kernelFence() {
  return { bytes: 8 + 8 + 16 + 8 + 8 + 8 + 4 + 4 };
}
