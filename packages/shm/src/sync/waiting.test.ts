import {
  Completion,
  refDec,
  refInc,
  refIncNotZero,
  refcount,
  setSyncHook,
  struct,
  WaitQueue,
  type Machine,
} from '@dmabuf-emu/shm';
import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';

const worker = new URL(import.meta.resolve('#dist/sync/waiting.test-worker.js'));

async function startWaiter(machine: Machine, args: object): Promise<{ result: Promise<unknown>; task: number }> {
  const ready = new Completion(machine, machine.root('ready', 16), 'ready');
  const { result } = startTestWorker(worker, machine, { ...args, ready: ready.at }, 'waiter');
  expect(await ready.waitAsync(10_000)).toBe(true);
  return { result, task: machine.tasks().find((t) => t.name === 'waiter')!.id };
}

describe('Completion', () => {
  it('lets one waiter through per complete, all after completeAll', () => {
    using machine = testMachine();
    const done = new Completion(machine, machine.root('c', 16), 'test');
    done.complete();
    done.complete();
    expect([done.wait({ timeoutMs: 0 }), done.wait({ timeoutMs: 0 }), done.wait({ timeoutMs: 0 })]).toEqual([
      true,
      true,
      false,
    ]);
    done.completeAll();
    expect([done.wait(), done.wait(), done.done]).toEqual([true, true, true]);
    done.reinit();
    expect(done.done).toBe(false);
  });

  it('wakes a sleeping thread', async () => {
    using machine = testMachine();
    const done = new Completion(machine, machine.root('c', 16), 'test');
    const { result } = await startWaiter(machine, { job: 'completion', at: done.at });
    done.complete();
    expect(await result).toBe(true);
  });

  it('stops waking once the sleepers have been served', async () => {
    using machine = testMachine();
    const done = new Completion(machine, machine.root('c', 16), 'test');
    const { result } = await startWaiter(machine, { job: 'completion', at: done.at });
    while (!machine.tasks().some((t) => t.waitingFor?.label === 'test')) await new Promise(setImmediate);
    const seen: string[] = [];
    setSyncHook((label) => seen.push(label));
    done.complete();
    done.complete();
    setSyncHook(null);
    expect(seen).toEqual(['futex.wake']);
    expect(await result).toBe(true);
    expect([done.wait({ timeoutMs: 0 }), done.wait({ timeoutMs: 0 })]).toEqual([true, false]);
  });

  it.each(['wasm', 'js'] as const)('serves every wait once, whoever sleeps or spins (%s movers)', async (movers) => {
    using machine = testMachine({ movers });
    const done = new Completion(machine, machine.root('c', 16), 'test');
    const rounds = 2000;
    const waiters = [];
    for (let i = 0; i < 3; i++) waiters.push(await startWaiter(machine, { job: 'consume', at: done.at, rounds }));
    for (let i = 0; i < 3 * rounds; i++) {
      done.complete();
      // Pauses of many lengths, so that waiters are caught spinning, going to sleep and asleep.
      if (i % 8 === 0) for (let n = (i * 37) % 4096; n > 0; n--) machine.progress();
    }
    expect(await Promise.all(waiters.map((w) => w.result))).toEqual([rounds, rounds, rounds]);
    expect(done.done).toBe(false);
  });

  it('ends with ERESTARTSYS for a signalled task, whenever the signal comes', async () => {
    using machine = testMachine();
    const done = new Completion(machine, machine.root('c', 16), 'test');
    const { result, task } = await startWaiter(machine, { job: 'completion', at: done.at, interruptible: true });
    machine.interrupt(task);
    expect(await result).toBe('ERESTARTSYS');
  });

  it('times out on the manual clock only when that is moved', async () => {
    using machine = testMachine({ clock: 'manual' });
    const done = new Completion(machine, machine.root('c', 16), 'test');
    const { result } = await startWaiter(machine, { job: 'completion', at: done.at, timeoutMs: 1000 });
    while (!machine.tasks().some((t) => t.waitingFor?.label === 'test')) await new Promise(setImmediate);
    machine.clock.advance(999);
    expect(machine.tasks().some((t) => t.name === 'waiter')).toBe(true);
    machine.clock.advance(1);
    expect(await result).toBe(false);
    expect(machine.clock.nowMs()).toBe(1000);
  });
});

describe('WaitQueue', () => {
  it('wakes when the condition holds, not before', async () => {
    using machine = testMachine();
    const queue = new WaitQueue(machine, machine.root('q', 16), 'test');
    const { result } = await startWaiter(machine, { job: 'queue', at: queue.at });
    for (let i = 1; i <= 3; i++) {
      machine.mem.i32[queue.at + 8] = i;
      queue.wakeAll();
    }
    expect(await result).toBe(true);
  });

  it('can be awaited by an event loop, with a timeout', async () => {
    using machine = testMachine();
    const queue = new WaitQueue(machine, machine.root('q', 16), 'test');
    expect(await queue.waitUntilAsync(() => false, 5)).toBe(false);
    expect(await queue.waitUntilAsync(() => true, 5)).toBe(true);
  });
});

describe('references', () => {
  const S = struct('counted', { refs: refcount() });

  it('count, refuse to rise from zero, and report underflow', () => {
    using machine = testMachine();
    machine.diag.expect('warn', 'refcount-underflow');
    machine.diag.expect('warn', 'refcount-from-zero');
    const slab = machine.slab(S);
    const ref = slab.alloc('test');
    const p = slab.at(ref);
    S.refs.store(machine.mem, p, 1);
    refInc(machine, p, S.refs);
    expect([refDec(machine, p, S.refs), refDec(machine, p, S.refs)]).toEqual([false, true]);
    expect(refIncNotZero(machine, p, S.refs)).toBe(false);
    expect(refDec(machine, p, S.refs)).toBe(false);
    refInc(machine, p, S.refs);
    expect(S.refs.load(machine.mem, p)).toBe(0);
    slab.free(ref);
  });
});
