import { type TimerOps, WaitQueue } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';

/** Sleeps until a timer wakes the queue; returns how many timers this thread ran. */
await runTestWorker<{ queue: number; knows: boolean }, number>((machine, { queue, knows }) => {
  let ran = 0;
  const waiters = new WaitQueue(machine, queue, 'test');
  const done = machine.root('done', 16);
  const ops: TimerOps = {
    name: 'test.wake',
    expire: () => {
      ran++;
      machine.mem.i32[done] = 1;
      waiters.wakeAll();
    },
  };
  if (knows) machine.timers.install(ops);
  if (!waiters.waitUntil(() => machine.mem.i32[done] === 1, { timeoutMs: 10_000 })) throw new Error('nobody ran it');
  return ran;
});
