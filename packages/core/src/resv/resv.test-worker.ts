import { Fence, fenceContextAlloc, Resv, ResvUsage, type SignalRight } from '@dmabuf-emu/core';
import {
  atomicLoad,
  atomicStore,
  Completion,
  isKernelError,
  type Machine,
  Random,
  WwAcquireCtx,
} from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';
import { mockFence, mockOps } from '../fence/mock-fence.test-worker.ts';

/** What a reservation test asks of a worker. */
export interface ResvJob {
  readonly job: 'write' | 'read' | 'wait' | 'lock-all' | 'hold-and-hang';
  readonly resvs: readonly number[];
  /** Completion that is completed when the worker is about to do it. */
  readonly ready: number;
  /** Word that is set when readers shall stop; plain words of the test behind it. */
  readonly stop: number;
  readonly rounds?: number;
  readonly timeoutMs?: number;
  readonly interruptible?: boolean;
}

/** Fences that a writer keeps unsignalled at a time. */
const WINDOW = 6;

/** Words behind `stop`: seqno of the last fence added; of the last that is about to be, and that has been, signalled. */
const ADDED = 1;
const SIGNALLING = 2;
const SIGNALLED = 3;
/** Set once a reader has walked often enough, and met a list that moved. */
const SATISFIED = 4;
const WALKS_MIN = 101;

/**
 * Adds fences of growing seqno and signals them in that order, always WINDOW behind. Now and then a reservation makes the
 * list move. Goes on until a reader has seen enough, at most ten times as long.
 */
function write(machine: Machine, { resvs, stop, rounds: least = 0 }: ResvJob): number {
  const { mem } = machine;
  const resv = Resv.of(machine, resvs[0]!);
  const random = new Random(machine.tid);
  const pending: SignalRight[] = [];
  let rounds = least;
  for (let n = 1; n <= rounds + WINDOW; n++) {
    if (n === rounds && n < least * 10 && atomicLoad(mem, stop + SATISFIED) === 0) rounds++;
    if (n <= rounds) {
      const right = Fence.create(machine, { ops: mockOps, context: fenceContextAlloc(machine), seqno: n });
      resv.with(() => {
        resv.reserveFences(1 + random.below(4));
        resv.addFence(right.fence, random.pick([ResvUsage.WRITE, ResvUsage.READ]));
      });
      atomicStore(mem, stop + ADDED, n);
      pending.push(right);
    }
    if (n <= WINDOW) continue;
    atomicStore(mem, stop + SIGNALLING, n - WINDOW);
    pending.shift()!.signal();
    atomicStore(mem, stop + SIGNALLED, n - WINDOW);
  }
  return rounds;
}

/**
 * Gathers the pending fences again and again, without the lock. Whatever was added before a walk and is not signalled after
 * it must be found; what was signalled before it must not.
 */
function read(machine: Machine, { resvs, stop }: ResvJob): { walks: number; restarts: number } {
  const { mem } = machine;
  const resv = Resv.of(machine, resvs[0]!);
  let walks = 0;
  let restarts = 0;
  for (; atomicLoad(mem, stop) === 0; walks++) {
    const added = atomicLoad(mem, stop + ADDED);
    const signalled = atomicLoad(mem, stop + SIGNALLED);
    const cursor = resv.unlocked(ResvUsage.READ);
    let found: number[] = [];
    let starts = 0;
    for (const fence of cursor) {
      if (cursor.isRestarted) {
        found = [];
        starts++;
      }
      found.push(fence.seqno);
    }
    restarts += Math.max(0, starts - 1);
    if (walks >= WALKS_MIN && restarts > 0) atomicStore(mem, stop + SATISFIED, 1);
    const signalling = atomicLoad(mem, stop + SIGNALLING);
    for (let n = signalling + 1; n <= added; n++) {
      if (!found.includes(n)) throw new Error(`fence ${n} was missed: ${found.join(' ')}`);
    }
    if (found.some((n) => n <= signalled)) throw new Error(`${signalled} was signalled, found ${found.join(' ')}`);
    if (new Set(found).size !== found.length) throw new Error(`a fence was found twice: ${found.join(' ')}`);
    for (const fence of resv.getFences(ResvUsage.WRITE)) fence.put();
  }
  return { walks, restarts };
}

/** Transactions over all reservation objects in random order, each adding a fence to every one. */
function lockAll(machine: Machine, { resvs, rounds = 0, stop }: ResvJob): number {
  const random = new Random(machine.tid);
  const all = resvs.map((ref) => Resv.of(machine, ref));
  let backoffs = 0;
  for (let round = 0; round < rounds; round++) {
    const ctx = WwAcquireCtx.init(machine);
    const held: Resv[] = [];
    let contended: Resv | undefined;
    const wanted = all.toSorted(() => random.below(2) - 0.5);
    for (;;) {
      try {
        if (contended !== undefined) {
          contended.lockSlow(ctx);
          held.push(contended);
        }
        for (const resv of wanted) {
          if (held.includes(resv)) continue;
          contended = resv;
          resv.lock(ctx);
          held.push(resv);
        }
        break;
      } catch (error) {
        if (!isKernelError(error, 'EDEADLK')) throw error;
        backoffs++;
        for (const resv of held.splice(0)) resv.unlock();
      }
    }
    ctx.done();
    const fence = mockFence(machine, fenceContextAlloc(machine), 1);
    for (const resv of held) {
      resv.reserveFences(1);
      resv.addFence(fence, ResvUsage.WRITE);
    }
    machine.mem.i32[stop + 1]! += 1;
    fence.signalUnowned();
    fence.put();
    for (const resv of held) resv.unlock();
    ctx.fini();
    machine.progress();
  }
  return backoffs;
}

function run(machine: Machine, job: ResvJob): unknown {
  const resv = Resv.of(machine, job.resvs[0]!);
  const announce = (): void => new Completion(machine, job.ready, 'ready').complete();
  switch (job.job) {
    case 'write':
      announce();
      return write(machine, job);
    case 'read':
      announce();
      return read(machine, job);
    case 'lock-all':
      return lockAll(machine, job);
    case 'wait':
      announce();
      try {
        return resv.wait(ResvUsage.BOOKKEEP, {
          interruptible: job.interruptible ?? false,
          ...(job.timeoutMs === undefined ? {} : { timeoutMs: job.timeoutMs }),
        });
      } catch (error) {
        machine.clearSignal();
        return (error as { code: string }).code;
      }
    case 'hold-and-hang': {
      resv.lock();
      announce();
      const nothing = machine.root('nothing', 16);
      for (;;) machine.wait(nothing, 0, 'nothing');
    }
  }
}

await runTestWorker(run);
