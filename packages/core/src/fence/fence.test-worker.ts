import {
  Fence,
  FenceCallback,
  fenceGetRcuSafe,
  fenceLock,
  fenceUnlock,
  fenceWaitAny,
  installFences,
  SignalRight,
} from '@dmabuf-emu/core';
import { atomicAdd, atomicLoad, atomicStore, Completion, isKernelError, type Machine, Random } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';
import { countCallback, mockFence } from './mock-fence.test-worker.ts';

/** What a fence test asks of a worker. */
export interface FenceJob {
  readonly job:
    | 'race-signal-callback'
    | 'signal-sleeper'
    | 'wait'
    | 'wait-any'
    | 'adopt-signal'
    | 'adopt-drop'
    | 'own-and-hang'
    | 'hang-in-callback'
    | 'own-and-leave'
    | 'closures'
    | 'closure-and-leave'
    | 'try-get'
    | 'get-put';
  /** Completion that is completed when the worker is about to do it. */
  readonly ready: number;
  readonly fences?: readonly number[];
  readonly at?: number;
  readonly other?: number;
  readonly rounds?: number;
  readonly timeoutMs?: number;
  readonly interruptible?: boolean;
}

const LIMIT_MS = 10_000;

function announce(machine: Machine, { ready }: FenceJob): void {
  new Completion(machine, ready, 'ready').complete();
}

/** Turns until `done`, bounded in time. */
function until(machine: Machine, what: string, done: () => boolean): void {
  const end = machine.clock.nowMs() + LIMIT_MS;
  while (!done()) if (machine.clock.nowMs() > end) throw new Error(`${what} did not happen within ${LIMIT_MS} ms`);
}

function hang(machine: Machine): never {
  const nothing = machine.root(`nothing-${machine.tid}`, 16);
  for (;;) machine.wait(nothing, 0, 'nothing');
}

/** One thread of upstream's race_signal_callback. Slots and stop flag are words: mine, the peer's, stop. */
function raceSignalCallback(machine: Machine, { at = 0, other = 0, fences = [], rounds = 0 }: FenceJob): object {
  const [mine, peer, stop] = [at, other, fences[0]!];
  const before = rounds === 1;
  const seen = machine.root(`seen-${machine.tid}`, 16);
  const callback = FenceCallback.create(machine, countCallback, seen);
  let passes = 0;
  let misses = 0;
  let unseen = 0;
  while (atomicLoad(machine.mem, stop) === 0) {
    const f1 = mockFence(machine);
    f1.enableSignaling();
    atomicStore(machine.mem, mine, f1.ref);
    let ref = 0;
    while (ref === 0 && atomicLoad(machine.mem, stop) === 0) ref = fenceGetRcuSafe(machine, peer);
    if (before) f1.signalUnowned();
    atomicStore(machine.mem, seen, 0);
    const f2 = Fence.of(machine, ref);
    if (ref === 0 || !f2.addCallback(callback)) {
      misses++;
      atomicStore(machine.mem, seen, 1);
    }
    if (!before) f1.signalUnowned();
    if (atomicLoad(machine.mem, seen) === 0) {
      f2.wait();
      fenceLock(machine, ref);
      fenceUnlock(machine, ref);
    }
    if (atomicLoad(machine.mem, seen) === 0) unseen++;
    if (ref !== 0) f2.put();
    atomicStore(machine.mem, mine, 0);
    f1.put();
    passes++;
  }
  callback.free();
  return { passes, misses, unseen };
}

function wait(machine: Machine, job: FenceJob): unknown {
  announce(machine, job);
  const options = {
    ...(job.timeoutMs === undefined ? {} : { timeoutMs: job.timeoutMs }),
    interruptible: job.interruptible ?? false,
  };
  try {
    if (job.job === 'wait-any') return fenceWaitAny(machine, job.fences!, options).index;
    return Fence.of(machine, job.fences![0]!).wait(options);
  } catch (error) {
    machine.clearSignal();
    if (isKernelError(error)) return error.code;
    throw error;
  }
}

/** Signals as soon as task `other` sleeps. */
function signalSleeper(machine: Machine, { fences = [], other }: FenceJob): void {
  until(machine, 'the sleep', () => machine.tasks().some((task) => task.id === other && task.state === 'sleeping'));
  for (const fence of fences) Fence.of(machine, fence).signalUnowned();
}

/** Adds functions to the fences, signals go, and returns what they saw and on which turn. */
async function closures(machine: Machine, job: FenceJob): Promise<unknown> {
  const order: number[] = [];
  const inEventLoop = job.timeoutMs === 0;
  for (const ref of job.fences!) Fence.of(machine, ref).addCallback((fence) => void order.push(fence.seqno));
  announce(machine, job);
  if (inEventLoop) {
    const end = machine.clock.nowMs() + LIMIT_MS;
    while (order.length < job.fences!.length && machine.clock.nowMs() < end) await new Promise(setImmediate);
  } else {
    const last = Fence.of(machine, job.fences!.at(-1)!);
    last.wait({ timeoutMs: LIMIT_MS });
    const before = order.length;
    until(machine, 'the closures', () => last.isSignaled() && order.length === job.fences!.length);
    if (before !== 0) throw new Error('closures ran inside a wait');
  }
  return order;
}

/** Tries references on whatever the slot names, while the fence there comes and goes, until the next word is set. */
function tryGet(machine: Machine, { at = 0 }: FenceJob): number {
  let got = 0;
  while (atomicLoad(machine.mem, at + 1) === 0) {
    const fence = Fence.tryGet(machine, atomicLoad(machine.mem, at));
    if (fence === undefined) continue;
    got++;
    if (fence.seqno < 1) throw new Error(`got a fence that was not initialised: seqno ${fence.seqno}`);
    fence.put();
  }
  return got;
}

function getPut(machine: Machine, { fences = [], rounds = 0, at = 0 }: FenceJob): void {
  const random = new Random(machine.tid);
  const fence = Fence.of(machine, fences[0]!);
  for (let i = 0; i < rounds; i++) {
    fence.get();
    if (random.chance(0.01)) atomicAdd(machine.mem, at, 1);
    fence.put();
  }
}

async function run(machine: Machine, job: FenceJob): Promise<unknown> {
  installFences(machine);
  if (!machine.drivers.has('fence-cb', machine.drivers.id('fence-cb', countCallback.name))) {
    machine.drivers.register('fence-cb', countCallback.name, countCallback);
  }
  const [fence = 0] = job.fences ?? [];
  switch (job.job) {
    case 'race-signal-callback':
      announce(machine, job);
      return raceSignalCallback(machine, job);
    case 'wait':
    case 'wait-any':
      return wait(machine, job);
    case 'signal-sleeper':
      return signalSleeper(machine, job);
    case 'adopt-signal':
      return SignalRight.adopt(machine, fence).signal();
    case 'adopt-drop':
      return SignalRight.adopt(machine, fence).drop();
    case 'own-and-hang':
      SignalRight.adopt(machine, fence);
      announce(machine, job);
      return hang(machine);
    case 'own-and-leave':
      SignalRight.adopt(machine, fence);
      return undefined;
    case 'hang-in-callback':
      Fence.of(machine, fence).addCallback(() => {
        announce(machine, job);
        hang(machine);
      });
      return SignalRight.adopt(machine, fence).signal();
    case 'closures':
      return await closures(machine, job);
    case 'closure-and-leave':
      for (const ref of job.fences!) Fence.of(machine, ref).addCallback(() => {});
      return undefined;
    case 'try-get':
      announce(machine, job);
      return tryGet(machine, job);
    case 'get-put':
      announce(machine, job);
      return getPut(machine, job);
  }
}

await runTestWorker(run);
