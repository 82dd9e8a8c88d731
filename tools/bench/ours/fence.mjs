// P9-P11. Calls the functions on refs: fenceCreate, fenceGet, fenceSignal, fenceTestSignaledFlag, fencePut. The ref is
// published in a word of shared memory that this file owns, with shm's atomics, as a reservation object does.
import { built } from '../lib/not-wired.mjs';
import { cpuNs, scaled } from '../lib/stats.mjs';
import { runTogether } from '../lib/threads.mjs';
import { createMachine, joinMachine } from './machine.mjs';

export const FENCE_EXPORTS = [
  'defineFenceOps',
  'fenceContextAlloc',
  'fenceCreate',
  'fenceGet',
  'fenceSignal',
  'fenceTestSignaledFlag',
  'fencePut',
];
const LINE_WORDS = 32; // two cache lines
const SLOT_WORDS = 64;
const MAX_THREADS = 2;
const RING = 1024;
const RING_ROOT_WORDS = RING + 2 * LINE_WORDS;

async function open(handle, name) {
  const core = await built('core', FENCE_EXPORTS);
  const shm = await built('shm', ['atomicStore', 'atomicExchange']);
  const machine = await joinMachine(handle, name);
  return {
    core,
    shm,
    machine,
    ops: core.defineFenceOps({ name: 'bench', getDriverName: () => 'bench', getTimelineName: () => 'bench' }),
  };
}

/** Stamps cost a clock reading each; a driver that knows the time passes it, and so does this one unless it is told not to. */
const STAMP_NS = 1;

export async function own({ threads, readClock = false }) {
  await built('core', FENCE_EXPORTS);
  const machine = await createMachine();
  const data = { handle: machine.handle, cycles: Math.floor(scaled(3e6) / threads), readClock };
  const parts = Array.from({ length: threads }, () => ({ run: 'ownThread', data }));
  const { elapsedMs, results } = await runTogether(import.meta.url, parts);
  return {
    cycle_ns: (elapsedMs * 1e6) / data.cycles,
    cpu_ns: results[0] / (data.cycles * threads),
    Mcycles_s: (data.cycles * threads) / elapsedMs / 1e3,
  };
}

/** Returns the CPU time, in ns, that the whole process took meanwhile. */
export async function ownThread({ handle, cycles, readClock }, gate) {
  const { core, shm, machine, ops } = await open(handle, 'fences');
  const slots = machine.root('bench.reservations', MAX_THREADS * SLOT_WORDS) + gate.index * SLOT_WORDS;
  const context = core.fenceContextAlloc(machine);
  const stamp = readClock ? undefined : STAMP_NS;
  const run = (count) => liveAndDie({ ...core, ...shm }, machine, ops, context, slots, stamp, count);
  run(50_000);
  gate.start();
  const before = cpuNs();
  run(cycles);
  return cpuNs() - before;
}

function liveAndDie(api, machine, ops, context, slots, stamp, cycles) {
  const { fenceCreate, fenceGet, fenceSignal, fenceTestSignaledFlag, fencePut, atomicStore, atomicExchange } = api;
  const { mem } = machine;
  const init = { ops, context, seqno: 0 };
  let sum = 0;
  for (let i = 0; i < cycles; i++) {
    const slot = slots + (i & 7);
    init.seqno = i;
    const fence = fenceCreate(machine, init);
    atomicStore(mem, slot, fenceGet(machine, fence)); // publishes the fence
    fenceSignal(machine, fence, stamp);
    sum += fenceTestSignaledFlag(machine, fence) ? 1 : 0;
    fencePut(machine, atomicExchange(mem, slot, 0));
    fencePut(machine, fence);
  }
  return sum;
}

export async function crossing() {
  await built('core', FENCE_EXPORTS);
  const machine = await createMachine();
  const data = { handle: machine.handle, cycles: scaled(2e6) };
  const { elapsedMs } = await runTogether(import.meta.url, [
    { run: 'produce', data },
    { run: 'consume', data },
  ]);
  return { Mcycles_s: data.cycles / elapsedMs / 1e3 };
}

const SPIN_TURNS = 20_000;
function spinWhile(words, at, value) {
  for (let i = 0; Atomics.load(words, at) === value; i++) {
    if (i === SPIN_TURNS) {
      Atomics.wait(words, at, value, 0.05);
      i = 0;
    }
  }
}

// Plain functions have the loops: V8 replaces a running loop by optimised code in those only, not in async ones.

export async function produce({ handle, cycles }, gate) {
  produceIn(await open(handle, 'producer'), cycles, gate);
}

function produceIn({ core, machine, ops }, cycles, gate) {
  const { fenceCreate, fenceGet, fencePut } = core;
  const words = machine.mem.i32;
  const head = machine.root('bench.ring', RING_ROOT_WORDS);
  const tail = head + LINE_WORDS;
  const ring = tail + LINE_WORDS;
  const init = { ops, context: core.fenceContextAlloc(machine), seqno: 0 };
  gate.start();
  for (let i = 0; i < cycles; i++) {
    init.seqno = i;
    const fence = fenceCreate(machine, init);
    fenceGet(machine, fence);
    for (let seen; i - (seen = Atomics.load(words, tail)) >= RING;) spinWhile(words, tail, seen);
    words[ring + (i & (RING - 1))] = fence;
    Atomics.store(words, head, i + 1);
    fencePut(machine, fence);
  }
}

export async function consume({ handle, cycles }, gate) {
  consumeFrom(await open(handle, 'consumer'), cycles, gate);
}

function consumeFrom({ core, machine }, cycles, gate) {
  const { fenceSignal, fencePut } = core;
  const words = machine.mem.i32;
  const head = machine.root('bench.ring', RING_ROOT_WORDS);
  const tail = head + LINE_WORDS;
  const ring = tail + LINE_WORDS;
  gate.start();
  for (let i = 0; i < cycles; i++) {
    spinWhile(words, head, i);
    const fence = words[ring + (i & (RING - 1))];
    Atomics.store(words, tail, i + 1);
    fenceSignal(machine, fence, STAMP_NS);
    fencePut(machine, fence);
  }
}
