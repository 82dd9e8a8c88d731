// P7, P8: wound-wait transactions. Calls wwClass, WwAcquireCtx.init(machine, class), new WwMutex(machine, word, className):
// lock(ctx), lockSlow(ctx), unlock(); ctx.done(), ctx.fini().
import { work } from '../reference/locks.mjs';
import { built } from '../lib/not-wired.mjs';
import { cpuNs, scaled } from '../lib/stats.mjs';
import { runTogether } from '../lib/threads.mjs';
import { createMachine, joinMachine } from './machine.mjs';

const EXPORTS = ['isKernelError', 'WwAcquireCtx', 'WwMutex', 'wwClass'];
const LOCK_WORDS = 32; // two cache lines
const COUNT = 16; // word of a lock's line that counts under it
const MOST_LOCKS = 64;
const MOST_THREADS = 16;
const WORDS = (1 + MOST_THREADS) * MOST_LOCKS * LOCK_WORDS;
const TAKES = 3;
const WORK_TURNS = 200;
const WARM_TURNS = 100_000;

/** Set 0 is what they contend for; a thread warms up with one of its own. */
const lockWord = (machine, i, set = 0) => machine.root('bench.ww', WORDS) + (set * MOST_LOCKS + i) * LOCK_WORDS;

export async function transactions({ threads, locks, algorithm = 'wound-wait' }) {
  await built('shm', EXPORTS);
  const machine = await createMachine();
  lockWord(machine, 0);
  const data = { handle: machine.handle, locks, algorithm, turns: Math.floor(scaled(1e6) / threads) };
  const parts = Array.from({ length: threads }, () => ({ run: 'transact', data }));
  const { elapsedMs, results } = await runTogether(import.meta.url, parts);
  const total = data.turns * threads;
  let held = 0;
  for (let i = 0; i < locks; i++) held += machine.mem.i32[lockWord(machine, i) + COUNT];
  if (held !== total * TAKES) throw new Error('lost update');
  const backoffs = results.reduce((sum, result) => sum + result.backoffs, 0);
  const cpu = Math.max(...results.map((result) => result.cpu));
  return { ktx_s: total / elapsedMs, cpu_ns: cpu / total, backoffs_per_ktx: (backoffs * 1e3) / total };
}

export async function transact({ handle, locks, algorithm, turns }, gate) {
  const shm = await built('shm', EXPORTS);
  const machine = await joinMachine(handle, 'transactor');
  const wwClass = shm.wwClass('bench.ww', algorithm);
  const run = (set, count) => {
    const mutexes = Array.from(
      { length: locks },
      (_, i) => new shm.WwMutex(machine, lockWord(machine, i, set), 'bench.ww'),
    );
    return transactFor(shm, machine, wwClass, mutexes, count, gate.index);
  };
  run(1 + gate.index, WARM_TURNS);
  gate.start();
  const before = cpuNs();
  const backoffs = run(0, turns);
  return { backoffs, cpu: cpuNs() - before };
}

/** A plain function: V8 replaces a running loop by optimised code in those only. Returns how often it had to back off. */
function transactFor(shm, machine, wwClass, mutexes, turns, index) {
  const words = machine.mem.i32;
  const set = Array.from({ length: TAKES }, () => 0);
  let x = index * 7919 + 1;
  let backoffs = 0;
  for (let turn = 0; turn < turns; turn++) {
    x = choose(x, set, mutexes.length);
    const ctx = shm.WwAcquireCtx.init(machine, wwClass);
    backoffs += takeAll(shm, mutexes, set, ctx);
    ctx.done();
    for (let i = 0; i < TAKES; i++) words[mutexes[set[i]].at + COUNT]++;
    x = work(x, WORK_TURNS);
    for (let i = 0; i < TAKES; i++) mutexes[set[i]].unlock();
    ctx.fini();
    x = work(x, WORK_TURNS);
  }
  return backoffs;
}

/** Fills `set` with different locks at random. */
function choose(x, set, locks) {
  for (let n = 0; n < TAKES;) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    const candidate = (x >>> 8) % locks;
    let known = false;
    for (let i = 0; i < n; i++) known ||= set[i] === candidate;
    if (!known) set[n++] = candidate;
  }
  return x;
}

/** Takes all of the set; after EDEADLK the lock that was refused comes first. */
function takeAll(shm, mutexes, set, ctx) {
  let backoffs = 0;
  let first = -1;
  for (let i = 0; i < TAKES; i++) {
    if (set[i] === first) continue;
    try {
      mutexes[set[i]].lock(ctx);
    } catch (error) {
      if (!shm.isKernelError(error, 'EDEADLK')) throw error;
      for (let j = 0; j < i; j++) if (set[j] !== first) mutexes[set[j]].unlock();
      if (first >= 0) mutexes[first].unlock();
      first = set[i];
      mutexes[first].lockSlow(ctx);
      backoffs++;
      i = -1;
    }
  }
  return backoffs;
}
