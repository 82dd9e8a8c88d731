// Runs functions of a module on worker threads that start together.
import { Worker } from 'node:worker_threads';

/** Word of the gate that counts the parts which have arrived. */
export const ARRIVED = 0;

/** Time in ns that all threads share. */
export const sharedNow = () => Number(process.hrtime.bigint());

/**
 * Each part runs on its own thread as `module[part.run](part.data, gate)` and must call `gate.start()` once, when it
 * is set up and warm: that returns when all parts have arrived. The clock stops when the last part returns.
 * @param {string} module URL of the module
 * @param {{ run: string, data?: unknown, transfer?: object[] }[]} parts
 * @returns {Promise<{ results: any[], elapsedMs: number }>}
 */
export async function runTogether(module, parts, whileRunning) {
  const gateWords = new SharedArrayBuffer(64);
  const times = new Float64Array(new SharedArrayBuffer(parts.length * 16));
  const workers = parts.map(
    (part, index) =>
      new Worker(new URL('thread-entry.mjs', import.meta.url), {
        workerData: { module, run: part.run, data: part.data, gateWords, times, index, count: parts.length },
        transferList: part.transfer ?? [],
      }),
  );
  const finished = workers.map(
    (worker) =>
      new Promise((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
        worker.once('exit', (code) => reject(new Error(`a thread ended with ${code} before it had a result`)));
      }),
  );
  const side = whileRunning?.(gateWords);
  const results = await Promise.all(finished);
  await side;
  await Promise.all(workers.map((w) => w.terminate()));
  const starts = times.filter((_, i) => i % 2 === 0);
  const ends = times.filter((_, i) => i % 2 === 1);
  return { results, elapsedMs: (Math.max(...ends) - Math.min(...starts)) / 1e6 };
}

/** Resolves when `count` parts have arrived at the gate. */
export async function allArrived(gateWords, count) {
  const words = new Int32Array(gateWords);
  while (Atomics.load(words, ARRIVED) < count) await new Promise((resolve) => setTimeout(resolve, 1));
}
