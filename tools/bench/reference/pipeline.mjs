// A DMA job the tempting way: one message a job, BigInt addresses, a BigUint64Array page table, TypedArray.set.
import { MessageChannel } from 'node:worker_threads';
import { latency, scaled } from '../lib/stats.mjs';
import { runTogether } from '../lib/threads.mjs';

const SLOTS = 64;
const PAGE = 4096;
const FIRST_PAGE = 0x100000;

export async function messages({ pages, inFlight, jobs }) {
  const sidePages = pages * SLOTS;
  const { port1, port2 } = new MessageChannel();
  const data = { pages, inFlight, sidePages, jobs: scaled(jobs), memory: new SharedArrayBuffer(sidePages * 2 * PAGE) };
  new Uint8Array(data.memory).fill(1);
  const parts = [
    { run: 'importer', data: { ...data, port: port1 }, transfer: [port1] },
    { run: 'engine', data: { ...data, port: port2 }, transfer: [port2] },
  ];
  const { results, elapsedMs } = await runTogether(import.meta.url, parts);
  return { ...latency(results[0]), kjobs_s: data.jobs / elapsedMs };
}

export async function importer({ port, pages, sidePages, jobs, inFlight }, gate) {
  const started = new Float64Array(jobs);
  const samples = new Float64Array(jobs);
  let sent = 0;
  let done = 0;
  const send = () => {
    const k = sent % SLOTS;
    const address = (page) => BigInt(FIRST_PAGE + page + k * pages) << 12n;
    started[sent++] = performance.now();
    port.postMessage({ op: 'dma', source: address(0), target: address(sidePages), pages, fence: k });
  };
  gate.start();
  await new Promise((resolve) => {
    port.on('message', () => {
      samples[done] = performance.now() - started[done];
      if (++done === jobs) resolve();
      else if (sent < jobs) send();
    });
    for (let i = 0; i < inFlight && sent < jobs; i++) send();
  });
  return samples;
}

export async function engine({ port, pages, sidePages, jobs, memory }, gate) {
  const bytes = new Uint8Array(memory);
  const table = new Map();
  for (let i = 0; i < sidePages * 2; i++) table.set(BigInt(FIRST_PAGE + i), BigInt(i) << 12n);
  let done = 0;
  gate.start();
  await new Promise((resolve) => {
    port.on('message', (job) => {
      for (let i = 0n; i < BigInt(pages); i++) {
        const from = Number(table.get((job.source >> 12n) + i));
        const to = Number(table.get((job.target >> 12n) + i));
        bytes.set(bytes.subarray(from, from + PAGE), to);
      }
      port.postMessage({ fence: job.fence, status: 'signaled' });
      if (++done === jobs) resolve();
    });
  });
}
