// P5, P6. Calls new Mutex(machine, word, className): lock(), unlock().
import { work } from '../reference/locks.mjs';
import { built } from '../lib/not-wired.mjs';
import { nsPerTurn, scaled } from '../lib/stats.mjs';
import { runTogether } from '../lib/threads.mjs';
import { createMachine, joinMachine } from './machine.mjs';

const ROOT = 'bench.locks';
const ROOT_WORDS = 96;
const COUNTER = 64;

export async function uncontended({ lockdep = false }) {
  const { Mutex } = await built('shm', ['Mutex']);
  const machine = await createMachine({ lockdep });
  const mutex = new Mutex(machine, machine.root(ROOT, ROOT_WORDS), 'bench');
  const loop = (turns) => {
    for (let i = 0; i < turns; i++) {
      mutex.lock();
      mutex.unlock();
    }
  };
  return { lock_unlock_ns: nsPerTurn(loop, 3e6) };
}

export async function contended({ threads }) {
  const machine = await createMachine();
  const at = machine.root(ROOT, ROOT_WORDS);
  const data = { handle: machine.handle, turns: Math.floor(scaled(2e6) / threads) };
  const parts = Array.from({ length: threads }, () => ({ run: 'contend', data }));
  const { elapsedMs } = await runTogether(import.meta.url, parts);
  const expected = data.turns * threads;
  if (machine.mem.i32[at + COUNTER] !== expected) throw new Error('lost update');
  return { Mops_s: expected / elapsedMs / 1e3 };
}

export async function contend({ handle, turns }, gate) {
  const { Mutex } = await built('shm', ['Mutex']);
  const machine = await joinMachine(handle, 'contender');
  const at = machine.root(ROOT, ROOT_WORDS);
  return contendFor(new Mutex(machine, at, 'bench'), machine.mem.i32, at + COUNTER, turns, gate);
}

/** A plain function: V8 replaces a running loop by optimised code in those only, not in async ones. */
function contendFor(mutex, words, counter, turns, gate) {
  let x = gate.index;
  gate.start();
  for (let i = 0; i < turns; i++) {
    mutex.lock();
    words[counter]++;
    x = work(x, 20);
    mutex.unlock();
    x = work(x, 60);
  }
  return x;
}
