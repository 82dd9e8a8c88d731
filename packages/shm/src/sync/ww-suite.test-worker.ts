import {
  Completion,
  isKernelError,
  type Machine,
  Random,
  WwAcquireCtx,
  type WwAlgorithm,
  wwClass,
  WwMutex,
} from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';

/** What the suite asks of a thread. All places are words of the arena. */
export interface WwSuiteJob {
  readonly job: 'mutex' | 'pair' | 'inorder' | 'reorder' | 'one';
  readonly algorithm: WwAlgorithm;
  /** mutex: the lock. pair: own lock, then the other's. Stress: all. */
  readonly locks: readonly number[];
  /** Completion of this thread, and the one that it waits for. */
  readonly ready: number;
  readonly go: number;
  readonly done?: number;
  readonly trylock?: boolean;
  readonly resolve?: boolean;
  readonly durationMs?: number;
}

/** How a thread of the pair and cycle cases fared. */
export interface PairResult {
  readonly error: string | undefined;
  /** Whether the context was seen as that of the lock that it holds. */
  readonly visible: boolean;
}

const LIMIT_MS = 10_000;
const LOAD_MS = 1;

/** The errno name of what `fn` throws. */
function errorOf(fn: () => void): string | undefined {
  try {
    fn();
    return undefined;
  } catch (error) {
    if (isKernelError(error)) return error.code;
    throw error;
  }
}

function meet(machine: Machine, { ready, go }: WwSuiteJob): void {
  new Completion(machine, ready, 'ready').complete();
  if (!new Completion(machine, go, 'go').wait({ timeoutMs: LIMIT_MS })) throw new Error('nobody says go');
}

/** Takes the lock without a context once it is told to. @kernel test_mutex_work */
function mutexWork(machine: Machine, job: WwSuiteJob): void {
  const lock = new WwMutex(machine, job.locks[0]!, 'ww.suite');
  meet(machine, job);
  if (job.trylock === true) {
    const end = machine.clock.nowMs() + LIMIT_MS;
    while (!lock.tryLock()) if (machine.clock.nowMs() > end) throw new Error('trylock never succeeds');
  } else lock.lock();
  new Completion(machine, job.done!, 'done').complete();
  lock.unlock();
}

/** Holds its own lock, then takes the other's; backs off if it shall. @kernel test_abba_work, test_cycle_work */
function pairWork(machine: Machine, job: WwSuiteJob): PairResult {
  const [own, other] = job.locks.map((at) => new WwMutex(machine, at, 'ww.suite')) as [WwMutex, WwMutex];
  const ctx = WwAcquireCtx.init(machine, wwClass(`suite-${job.algorithm}`, job.algorithm));
  if (job.trylock === true) {
    if (!own.tryLock(ctx)) throw new Error('trylock of a free lock fails');
  } else own.lock(ctx);
  const visible = own.lockingCtx === ctx.p;
  meet(machine, job);
  let error = errorOf(() => other.lock(ctx));
  const hasOther = error === undefined;
  let hasOwn = true;
  if (job.resolve === true && error === 'EDEADLK') {
    own.unlock();
    other.lockSlow(ctx);
    error = errorOf(() => own.lock(ctx));
    hasOwn = error === undefined;
    other.unlock();
  } else if (hasOther) other.unlock();
  if (hasOwn) own.unlock();
  ctx.fini();
  return { error, visible };
}

/** Locks everything in an order of its own, backing off when told to, until the time is over. @kernel stress_inorder_work, stress_reorder_work */
function stressAll(machine: Machine, job: WwSuiteJob, reorder: boolean): number {
  const random = new Random(machine.tid);
  const cls = wwClass(`suite-${job.algorithm}`, job.algorithm);
  let order = job.locks.map((at) => new WwMutex(machine, at, 'ww.suite'));
  for (let i = order.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  const end = machine.clock.nowMs() + job.durationMs!;
  let rounds = 0;
  while (machine.clock.nowMs() < end) {
    const ctx = WwAcquireCtx.init(machine, cls);
    const held = new Set<WwMutex>();
    for (let contended: WwMutex | undefined; held.size < order.length;) {
      if (contended !== undefined) {
        contended.lockSlow(ctx);
        held.add(contended);
        const front = contended;
        if (reorder) order = [front, ...order.filter((lock) => lock !== front)];
        contended = undefined;
      }
      for (const lock of order) {
        if (held.has(lock)) continue;
        const error = errorOf(() => lock.lock(ctx));
        if (error !== undefined && error !== 'EDEADLK') throw new Error(`a lock answers ${error}`);
        if (error === undefined) held.add(lock);
        else contended = lock;
        if (contended !== undefined) break;
      }
      if (contended !== undefined) {
        for (const lock of held) lock.unlock();
        held.clear();
      }
    }
    load(machine);
    for (const lock of held) lock.unlock();
    ctx.fini();
    rounds++;
  }
  return rounds;
}

/** Locks one at random, without a context. @kernel stress_one_work */
function stressOne(machine: Machine, job: WwSuiteJob): number {
  const lock = new WwMutex(machine, new Random(machine.tid).pick(job.locks), 'ww.suite');
  const end = machine.clock.nowMs() + job.durationMs!;
  let rounds = 0;
  for (; machine.clock.nowMs() < end; rounds++) {
    lock.lock();
    load(machine);
    lock.unlock();
  }
  return rounds;
}

/** What a holder does with its locks: time passes. @kernel dummy_load */
function load(machine: Machine): void {
  machine.wait(machine.root('load', 16), 0, 'load', LOAD_MS);
}

await runTestWorker((machine, job: WwSuiteJob) => {
  if (job.job === 'mutex') return mutexWork(machine, job);
  if (job.job === 'pair') return pairWork(machine, job);
  meet(machine, job);
  return job.job === 'one' ? stressOne(machine, job) : stressAll(machine, job, job.job === 'reorder');
});
