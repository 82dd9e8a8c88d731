// Signal -> wake on the bare platform: Atomics.wait and notify, Atomics.waitAsync, MessagePort.
import { MessageChannel } from 'node:worker_threads';
import { latency, quantile, scaled } from '../lib/stats.mjs';
import { allArrived, runTogether, sharedNow } from '../lib/threads.mjs';

const PING = 0; // word indexes, two cache lines apart
const PONG = 32;
/** Long enough that a waiter which spins for about the price of a park has parked. */
export const PARKED_AFTER_MS = 0.3;

function signal(words, at, value) {
  Atomics.store(words, at, value);
  Atomics.notify(words, at, 1);
}

function park(words, at, value) {
  for (let seen; (seen = Atomics.load(words, at)) !== value;) Atomics.wait(words, at, seen);
}

/** Round trips between two threads that park at once. */
export async function pingPong({ rounds }) {
  const data = { buffer: new SharedArrayBuffer(1024), rounds: scaled(rounds) };
  const { results } = await runTogether(import.meta.url, [
    { run: 'ping', data },
    { run: 'pong', data },
  ]);
  return latency(results[0]);
}

export function ping({ buffer, rounds }, gate) {
  const words = new Int32Array(buffer);
  const samples = new Float64Array(rounds);
  gate.start();
  for (let i = 1; i <= rounds; i++) {
    const start = performance.now();
    signal(words, PING, i);
    park(words, PONG, i);
    samples[i - 1] = performance.now() - start;
  }
  return samples;
}

export function pong({ buffer, rounds }, gate) {
  const words = new Int32Array(buffer);
  gate.start();
  for (let i = 1; i <= rounds; i++) {
    park(words, PING, i);
    signal(words, PONG, i);
  }
}

/** Round trips between two threads that never park: one store, and loads until it is seen. */
export async function spinPingPong({ rounds }) {
  const data = { buffer: new SharedArrayBuffer(1024), rounds: scaled(rounds) };
  const { results } = await runTogether(import.meta.url, [
    { run: 'spinPing', data },
    { run: 'spinPong', data },
  ]);
  return latency(results[0]);
}

export function spinPing({ buffer, rounds }, gate) {
  const words = new Int32Array(buffer);
  const samples = new Float64Array(rounds);
  gate.start();
  for (let i = 1; i <= rounds; i++) {
    const start = performance.now();
    Atomics.store(words, PING, i);
    while (Atomics.load(words, PONG) !== i);
    samples[i - 1] = performance.now() - start;
  }
  return samples;
}

export function spinPong({ buffer, rounds }, gate) {
  const words = new Int32Array(buffer);
  gate.start();
  for (let i = 1; i <= rounds; i++) {
    while (Atomics.load(words, PING) !== i);
    Atomics.store(words, PONG, i);
  }
}

/** One way: from the signal to the first instruction of a waiter that has been parked for a while. */
export async function parkedWake({ rounds }) {
  const data = { buffer: new SharedArrayBuffer(1024), rounds: scaled(rounds) };
  const { results } = await runTogether(import.meta.url, [
    { run: 'wakeUp', data },
    { run: 'sleep', data },
  ]);
  return oneWay(results[0], results[1]);
}

/** p50 and p99 of woken - signalled, both in ns of the shared clock. */
export function oneWay(signalled, woken) {
  const us = woken.map((w, i) => (w - signalled[i]) / 1e3);
  return { p50_us: quantile(us, 0.5), p99_us: quantile(us, 0.99) };
}

export function wakeUp({ buffer, rounds }, gate) {
  const words = new Int32Array(buffer);
  const signalled = new Float64Array(rounds);
  gate.start();
  for (let i = 1; i <= rounds; i++) {
    for (const end = performance.now() + PARKED_AFTER_MS; performance.now() < end;);
    signalled[i - 1] = sharedNow();
    signal(words, PING, i);
    while (Atomics.load(words, PONG) !== i);
  }
  return signalled;
}

export function sleep({ buffer, rounds }, gate) {
  const words = new Int32Array(buffer);
  const woken = new Float64Array(rounds);
  gate.start();
  for (let i = 1; i <= rounds; i++) {
    park(words, PING, i);
    woken[i - 1] = sharedNow();
    Atomics.store(words, PONG, i);
  }
  return woken;
}

/** Round trips between the main thread, which must not block, and a worker that parks. */
export async function waitAsync({ rounds }) {
  const data = { buffer: new SharedArrayBuffer(1024), rounds: scaled(rounds) };
  const words = new Int32Array(data.buffer);
  const samples = new Float64Array(data.rounds);
  const keepAlive = setInterval(() => {}, 1e6); // a pending waitAsync does not keep the process alive
  await runTogether(import.meta.url, [{ run: 'pong', data }], async (gateWords) => {
    await allArrived(gateWords, 1);
    for (let i = 1; i <= data.rounds; i++) {
      const start = performance.now();
      signal(words, PING, i);
      for (let seen; (seen = Atomics.load(words, PONG)) !== i;) {
        const wait = Atomics.waitAsync(words, PONG, seen);
        if (wait.async) await wait.value;
      }
      samples[i - 1] = performance.now() - start;
    }
  });
  clearInterval(keepAlive);
  return latency(samples);
}

/** The tempting way: one message there, one back. */
export async function messagePort({ rounds }) {
  const { port1, port2 } = new MessageChannel();
  const data = { rounds: scaled(rounds) };
  const { results } = await runTogether(import.meta.url, [
    { run: 'messagePing', data: { ...data, port: port1 }, transfer: [port1] },
    { run: 'messagePong', data: { ...data, port: port2 }, transfer: [port2] },
  ]);
  return latency(results[0]);
}

export async function messagePing({ port, rounds }, gate) {
  gate.start();
  const samples = new Float64Array(rounds);
  for (let i = 0; i < rounds; i++) {
    const start = performance.now();
    const answer = new Promise((resolve) => port.once('message', resolve));
    port.postMessage(i);
    await answer;
    samples[i] = performance.now() - start;
  }
  return samples;
}

export async function messagePong({ port, rounds }, gate) {
  gate.start();
  let answered = 0;
  await new Promise((resolve) => {
    port.on('message', (message) => {
      port.postMessage(message);
      if (++answered === rounds) resolve();
    });
  });
}
