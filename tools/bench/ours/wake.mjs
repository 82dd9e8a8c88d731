// P1-P4. Calls Completion: complete() on one thread, wait() or waitAsync() on the other: waiter bit, spin, then park.
import { PARKED_AFTER_MS, oneWay } from '../reference/wake.mjs';
import { built } from '../lib/not-wired.mjs';
import { latency, scaled } from '../lib/stats.mjs';
import { allArrived, runTogether, sharedNow } from '../lib/threads.mjs';
import { createMachine, joinMachine } from './machine.mjs';

const LINE_WORDS = 32; // two cache lines

async function open(handle, name) {
  const { Completion } = await built('shm', ['Completion']);
  const machine = await joinMachine(handle, name);
  return completions(Completion, machine);
}

function completions(Completion, machine) {
  const at = machine.root('bench.wake', 3 * LINE_WORDS);
  return {
    machine,
    at,
    ping: new Completion(machine, at, 'ping'),
    pong: new Completion(machine, at + LINE_WORDS, 'pong'),
  };
}

/** Round trips. */
export async function pingPong({ rounds }) {
  const machine = await createMachine();
  const data = { handle: machine.handle, rounds: scaled(rounds) };
  const { results } = await runTogether(import.meta.url, [
    { run: 'ping', data },
    { run: 'pong', data },
  ]);
  return latency(results[0]);
}

// Each timed loop is a plain function: V8 replaces a running loop by optimised code in those only, not in async ones.

export async function ping({ handle, rounds }, gate) {
  return pingFor(await open(handle, 'ping'), rounds, gate);
}

function pingFor({ ping: there, pong: back }, rounds, gate) {
  const samples = new Float64Array(rounds);
  gate.start();
  for (let i = 0; i < rounds; i++) {
    const start = performance.now();
    there.complete();
    back.wait();
    samples[i] = performance.now() - start;
  }
  return samples;
}

export async function pong({ handle, rounds }, gate) {
  pongFor(await open(handle, 'pong'), rounds, gate);
}

function pongFor({ ping: there, pong: back }, rounds, gate) {
  gate.start();
  for (let i = 0; i < rounds; i++) {
    there.wait();
    back.complete();
  }
}

/** One way, to a waiter that has been waiting long enough to have parked. */
export async function parkedWake({ rounds }) {
  const machine = await createMachine();
  const data = { handle: machine.handle, rounds: scaled(rounds) };
  const { results } = await runTogether(import.meta.url, [
    { run: 'wakeUp', data },
    { run: 'sleep', data },
  ]);
  return oneWay(results[0], results[1]);
}

export async function wakeUp({ handle, rounds }, gate) {
  return wakeUpFor(await open(handle, 'signaller'), rounds, gate);
}

function wakeUpFor({ machine, at, ping: there }, rounds, gate) {
  const words = machine.mem.i32;
  const awake = at + 2 * LINE_WORDS;
  const signalled = new Float64Array(rounds);
  gate.start();
  for (let i = 1; i <= rounds; i++) {
    for (const end = performance.now() + PARKED_AFTER_MS; performance.now() < end;);
    signalled[i - 1] = sharedNow();
    there.complete();
    while (Atomics.load(words, awake) !== i);
  }
  return signalled;
}

export async function sleep({ handle, rounds }, gate) {
  return sleepFor(await open(handle, 'waiter'), rounds, gate);
}

function sleepFor({ machine, at, ping: there }, rounds, gate) {
  const words = machine.mem.i32;
  const awake = at + 2 * LINE_WORDS;
  const woken = new Float64Array(rounds);
  gate.start();
  for (let i = 1; i <= rounds; i++) {
    there.wait();
    woken[i - 1] = sharedNow();
    Atomics.store(words, awake, i);
  }
  return woken;
}

/** Round trips between this main thread, which does not block, and a worker. */
export async function waitAsync({ rounds }) {
  const { Completion } = await built('shm', ['Completion']);
  const machine = await createMachine();
  const { ping: there, pong: back } = completions(Completion, machine);
  const data = { handle: machine.handle, rounds: scaled(rounds) };
  const samples = new Float64Array(data.rounds);
  await runTogether(import.meta.url, [{ run: 'pong', data }], async (gateWords) => {
    await allArrived(gateWords, 1);
    for (let i = 0; i < data.rounds; i++) {
      const start = performance.now();
      there.complete();
      await back.waitAsync();
      samples[i] = performance.now() - start;
    }
  });
  return latency(samples);
}
