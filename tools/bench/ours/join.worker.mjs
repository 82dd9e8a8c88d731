// A worker that joins the machine, reports for duty and waits to be ended.
import { workerData } from 'node:worker_threads';
import { joinMachine } from './machine.mjs';

const machine = await joinMachine(workerData.handle, 'bench');
const ready = machine.root('bench.ready', 16);
Atomics.add(machine.mem.i32, ready, 1);
machine.wake(ready);
setInterval(() => {}, 2 ** 30);
