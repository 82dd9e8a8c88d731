// What a thread of runTogether executes. A file of its own: the module it loads imports threads.mjs.
import { parentPort, workerData } from 'node:worker_threads';
import { ARRIVED, sharedNow } from './threads.mjs';

const OPEN = 1;
const { module, run, data, gateWords, times, index, count } = workerData;
const words = new Int32Array(gateWords);

function passGate() {
  if (Atomics.add(words, ARRIVED, 1) + 1 === count) {
    Atomics.store(words, OPEN, 1);
    Atomics.notify(words, OPEN);
  }
  while (Atomics.load(words, OPEN) === 0) Atomics.wait(words, OPEN, 0);
}

const gate = {
  index,
  start() {
    passGate();
    times[index * 2] = sharedNow();
  },
};
const loaded = await import(module);
const result = await loaded[run](data, gate);
times[index * 2 + 1] = sharedNow();
parentPort.postMessage(result);
