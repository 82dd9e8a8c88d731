import {
  Completion,
  Mutex,
  Random,
  RwSemaphore,
  WwAcquireCtx,
  wwClass,
  WwMutex,
  isKernelError,
  type Machine,
} from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';

/** What a lock test asks of its worker. */
export interface LockJob {
  readonly job: 'count' | 'rw' | 'ww' | 'hold' | 'wait-lock' | 'wait-interruptible' | 'ww-hold' | 'spin-hold';
  readonly at: number;
  readonly rounds?: number;
  readonly seed?: number;
  readonly ready?: number;
  readonly algorithm?: 'wait-die' | 'wound-wait';
}

function announce(machine: Machine, job: LockJob): void {
  if (job.ready !== undefined) new Completion(machine, job.ready, 'ready').complete();
}

function forever(machine: Machine): never {
  const nothing = machine.root(`nothing-${machine.tid}`, 16);
  for (;;) machine.wait(nothing, 0, 'nothing');
}

/** Adds to a plain word under the lock: every lost update is a broken lock. */
function count(machine: Machine, { at, rounds = 0 }: LockJob): number {
  const lock = new Mutex(machine, at, 'test.mutex');
  for (let i = 0; i < rounds; i++) lock.with(() => machine.mem.i32[at + 8]!++);
  return rounds;
}

function rw(machine: Machine, { at, rounds = 0, seed = 0 }: LockJob): number {
  const lock = new RwSemaphore(machine, at, 'test.rwsem');
  const random = new Random(seed);
  const { i32 } = machine.mem;
  for (let i = 0; i < rounds; i++) {
    if (random.chance(0.3)) {
      lock.write(() => {
        i32[at + 8]!++;
        i32[at + 9]!++;
      });
    } else {
      lock.read(() => {
        if (i32[at + 8] !== i32[at + 9]) throw new Error('a reader saw a half-done write');
      });
    }
  }
  return rounds;
}

/** Transactions over three of eight ww mutexes, each adding to plain words under its locks. */
function ww(machine: Machine, { at, rounds = 0, seed = 0, algorithm = 'wait-die' }: LockJob): number {
  const cls = wwClass(`test-${algorithm}`, algorithm);
  const random = new Random(seed);
  const locks = Array.from({ length: 8 }, (_, i) => new WwMutex(machine, at + i * 16, 'test.ww'));
  let backoffs = 0;
  for (let round = 0; round < rounds; round++) {
    const wanted = new Set<WwMutex>();
    while (wanted.size < 3) wanted.add(random.pick(locks));
    const ctx = WwAcquireCtx.init(machine, cls);
    const held: WwMutex[] = [];
    let contended: WwMutex | undefined;
    for (;;) {
      try {
        if (contended !== undefined) {
          contended.lockSlow(ctx);
          held.push(contended);
        }
        for (const lock of wanted) {
          if (held.includes(lock)) continue;
          contended = lock;
          lock.lock(ctx);
          held.push(lock);
        }
        break;
      } catch (error) {
        if (!isKernelError(error, 'EDEADLK')) throw error;
        backoffs++;
        for (const lock of held.splice(0)) lock.unlock();
      }
    }
    ctx.done();
    for (const lock of held) machine.mem.i32[lock.at + 8]!++;
    for (const lock of held) lock.unlock();
    ctx.fini();
    machine.progress();
  }
  return backoffs;
}

function run(machine: Machine, job: LockJob): unknown {
  switch (job.job) {
    case 'count':
      return count(machine, job);
    case 'rw':
      return rw(machine, job);
    case 'ww':
      return ww(machine, job);
    case 'hold':
      new Mutex(machine, job.at, 'test.mutex').lock();
      announce(machine, job);
      return forever(machine);
    case 'ww-hold':
      new WwMutex(machine, job.at, 'test.ww').lock();
      announce(machine, job);
      return forever(machine);
    case 'spin-hold':
      new RwSemaphore(machine, job.at, 'test.rwsem').down();
      announce(machine, job);
      return forever(machine);
    case 'wait-lock':
      announce(machine, job);
      try {
        new Mutex(machine, job.at, 'test.mutex').lock();
        return 'locked';
      } catch (error) {
        return (error as { code: string }).code;
      }
    case 'wait-interruptible':
      announce(machine, job);
      try {
        const lock = new Mutex(machine, job.at, 'test.mutex');
        lock.lockInterruptible();
        lock.unlock();
        return 'locked';
      } catch (error) {
        machine.clearSignal();
        return (error as { code: string }).code;
      }
  }
}

await runTestWorker(run);
