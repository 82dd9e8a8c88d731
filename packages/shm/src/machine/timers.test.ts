import { type Machine, type TimerOps, WaitQueue } from '@dmabuf-emu/shm';
import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import { expect, it } from 'vitest';

const worker = new URL(import.meta.resolve('#dist/machine/timers.test-worker.js'));

/** A timer that notes what it is run with. */
function recorder(): { ops: TimerOps; ran: number[] } {
  const ran: number[] = [];
  return { ran, ops: { name: 'test.record', expire: (_machine, arg) => void ran.push(arg) } };
}

function queueOf(machine: Machine): WaitQueue {
  return new WaitQueue(machine, machine.root('queue', 16), 'test');
}

it('runs what is due when a clock that is driven by hand moves, the first one first', () => {
  using machine = testMachine({ clock: 'manual' });
  const { ops, ran } = recorder();
  machine.timers.start(ops, 2, 20);
  machine.timers.start(ops, 1, 10);
  machine.timers.start(ops, 3, 30);
  machine.timers.start(ops, 0, 0);
  machine.clock.advance(0);
  expect(ran).toEqual([0]);
  machine.clock.advance(9.9);
  expect(ran).toEqual([0]);
  machine.clock.advance(10.1);
  expect(ran).toEqual([0, 1, 2]);
  machine.clock.advance(100);
  expect(ran).toEqual([0, 1, 2, 3]);
  expect(machine.timers.nextNs).toBe(Number.POSITIVE_INFINITY);
});

it('does not run a timer that was cancelled, and says whether it was in time', () => {
  using machine = testMachine({ clock: 'manual' });
  const { ops, ran } = recorder();
  const [first, second] = [machine.timers.start(ops, 1, 10), machine.timers.start(ops, 2, 20)];
  expect(machine.timers.cancel(first)).toBe(true);
  expect(machine.timers.cancel(first)).toBe(false);
  machine.clock.advance(50);
  expect(machine.timers.cancel(second)).toBe(false);
  expect(ran).toEqual([2]);
});

it('runs timers while the thread waits, without ending the wait, and again after one that starts another', () => {
  using machine = testMachine();
  const queue = queueOf(machine);
  const ran: number[] = [];
  let looks = 0;
  const ops: TimerOps = {
    name: 'test.again',
    expire(_machine, arg) {
      ran.push(arg);
      if (arg < 3) machine.timers.start(ops, arg + 1, 5);
      else queue.wakeAll();
    },
  };
  machine.timers.start(ops, 1, 5);
  expect(queue.waitUntil(() => looks++ > 0, { timeoutMs: 10_000 })).toBe(true);
  expect(ran).toEqual([1, 2, 3]);
});

it('runs timers while the event loop waits', async () => {
  using machine = testMachine();
  const { ops, ran } = recorder();
  machine.timers.start(ops, 7, 5);
  expect(await queueOf(machine).waitUntilAsync(() => false, 40)).toBe(false);
  expect(ran).toEqual([7]);
});

it('fails with ENOMEM and leaves nothing running', () => {
  using machine = testMachine({ clock: 'manual' });
  const { ops, ran } = recorder();
  machine.faults.failNth(1, { site: 'timer' });
  expect(() => machine.timers.start(ops, 1, 10)).toThrow(expect.objectContaining({ code: 'ENOMEM' }));
  machine.clock.advance(20);
  expect(ran).toEqual([]);
});

it('a sleeper runs the timer that another thread starts later; one that does not know the code leaves it alone', async () => {
  using machine = testMachine();
  const queue = queueOf(machine);
  const sleeper = startTestWorker<number>(worker, machine, { queue: queue.at, knows: true }, 'sleeper');
  const blind = startTestWorker<number>(worker, machine, { queue: queue.at, knows: false }, 'blind');
  while (machine.tasks().filter(({ waitingFor }) => waitingFor?.label === 'test').length < 2)
    await new Promise(setImmediate);
  machine.timers.start({ name: 'test.wake', expire: () => {} }, queue.at, 5);
  expect(await sleeper.result).toBe(1);
  expect(await blind.result).toBe(0);
});
