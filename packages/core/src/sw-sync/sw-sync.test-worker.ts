import { FdTable, File } from '@dmabuf-emu/core';
import { atomicAdd, atomicLoad, Completion, isKernelError, type Machine, Random } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';
import { ACTIVE, close, count, swFence, swInc, swOpen, syncMerge, syncWait } from './sync-user.test-worker.ts';

/** What a test of timelines asks of a worker, which joins the test's process. */
export interface SwSyncJob {
  readonly job:
    | 'shared-timeline'
    | 'producer'
    | 'multi-consumer'
    | 'multi-consumer-producer'
    | 'endless-producer'
    | 'inc'
    | 'receive-and-inc'
    | 'churn'
    | 'wait-and-hang'
    | 'own-and-hang'
    | 'merge-and-hang';
  /** Completion that is completed when the worker is about to do it. */
  readonly ready: number;
  readonly table: number;
  readonly timeline: number;
  readonly other?: number;
  readonly id?: number;
  readonly threads?: number;
  readonly rounds?: number;
  /** Plain word that the workers count in turns. */
  readonly counter?: number;
  readonly post?: number;
}

const LIMIT_MS = 20_000;

function busyWait(machine: Machine, fd: number): void {
  const end = machine.clock.nowMs() + LIMIT_MS;
  while (count(machine, fd, ACTIVE) > 0) if (machine.clock.nowMs() > end) throw new Error('the fence does not end');
}

/** Waits for the value of this turn, checks that it is this turn, takes it. */
function turn(machine: Machine, { timeline, counter = 0 }: SwSyncJob, value: number): void {
  const fd = swFence(machine, timeline, value);
  if (!syncWait(machine, fd, LIMIT_MS)) throw new Error(`value ${value} is not reached`);
  close(machine, fd);
  const seen = machine.mem.i32[counter]!;
  if (seen !== value) throw new Error(`counter is ${seen} at value ${value}`);
}

/** test_stress_two_threads_shared_timeline */
function sharedTimeline(machine: Machine, job: SwSyncJob): void {
  const { rounds = 0, id = 0, timeline, counter = 0 } = job;
  for (let i = 0; i < rounds; i++) {
    turn(machine, job, 2 * i + id);
    machine.mem.i32[counter]! += 1;
    swInc(machine, timeline, 1);
  }
}

/** test_stress_multi_producer: `timeline` is the consumer's, `other` its own. */
function producer(machine: Machine, { timeline, other = 0, rounds = 0, id = 0, counter = 0 }: SwSyncJob): void {
  for (let i = 0; i < rounds; i++) {
    const fd = swFence(machine, timeline, i);
    if ((rounds + id) % 8 === 0) busyWait(machine, fd);
    else if (!syncWait(machine, fd, LIMIT_MS)) throw new Error(`the consumer does not reach ${i}`);
    close(machine, fd);
    atomicAdd(machine.mem, counter, 1);
    swInc(machine, other, 1);
  }
}

/** test_sync_multi_consumer */
function multiConsumer(machine: Machine, job: SwSyncJob): void {
  const { rounds = 0, threads = 1, id = 0, post = 0 } = job;
  const semaphore = new Completion(machine, post, 'semaphore');
  for (let i = 0; i < rounds; i++) {
    turn(machine, job, i * threads + id);
    semaphore.complete();
  }
}

/** test_sync_multi_consumer_producer */
function multiConsumerProducer(machine: Machine, job: SwSyncJob): void {
  const { rounds = 0, threads = 1, id = 0, counter = 0, timeline } = job;
  for (let i = 0; i < rounds; i++) {
    const value = i * threads + id;
    turn(machine, job, value);
    if (atomicAdd(machine.mem, counter, 1) !== value) throw new Error(`counter moved at value ${value}`);
    swInc(machine, timeline, 1);
  }
}

/** test_mpsc_producer: goes on until the consumer's timeline is closed. */
function endlessProducer(machine: Machine, { timeline, other = 0, id = 0, counter = 0 }: SwSyncJob): number {
  for (let i = 0; ; i++) {
    try {
      const fd = swFence(machine, timeline, i);
      if (id % 8 === 0) busyWait(machine, fd);
      else if (!syncWait(machine, fd, LIMIT_MS)) throw new Error(`the consumer does not reach ${i}`);
      close(machine, fd);
    } catch (error) {
      if (isKernelError(error, 'EBADF')) return i;
      throw error;
    }
    atomicAdd(machine.mem, counter, 1);
    swInc(machine, other, 1);
  }
}

/** Makes, merges, waits for and closes fences of a timeline that everybody moves on. */
function churn(machine: Machine, { timeline, rounds = 0, id = 0 }: SwSyncJob): number {
  const random = new Random(id + 1);
  const own = swOpen(machine);
  let ended = 0;
  for (let i = 0; i < rounds; i++) {
    const [a, b] = [swFence(machine, timeline, i + random.below(20)), swFence(machine, own, i + 1)];
    const merged = syncMerge(machine, a, b);
    close(machine, ...(random.below(2) === 0 ? [a, b] : [b, a]));
    swInc(machine, own, 1);
    swInc(machine, timeline, 1);
    if (syncWait(machine, merged, random.below(2) === 0 ? 0 : 1)) ended++;
    close(machine, merged);
  }
  close(machine, own);
  return ended;
}

function hang(machine: Machine): never {
  for (;;) machine.wait(machine.root('nothing', 16), 0, 'nothing');
}

await runTestWorker<SwSyncJob, unknown>((machine, job) => {
  const ownProcess = job.job === 'own-and-hang' || job.job === 'receive-and-inc';
  if (!ownProcess) FdTable.of(machine, job.table).join();
  const ready = (): void => new Completion(machine, job.ready, 'ready').complete();
  if (!job.job.endsWith('hang')) ready();
  switch (job.job) {
    case 'shared-timeline':
      return sharedTimeline(machine, job);
    case 'producer':
      return producer(machine, job);
    case 'multi-consumer':
      return multiConsumer(machine, job);
    case 'multi-consumer-producer':
      return multiConsumerProducer(machine, job);
    case 'endless-producer':
      return endlessProducer(machine, job);
    case 'inc': {
      const nap = machine.root('nap', 16);
      machine.wait(nap, 0, 'nap', 30);
      return swInc(machine, job.timeline, 1);
    }
    case 'receive-and-inc': {
      const received = FdTable.current(machine).install(File.of(machine, job.timeline));
      swInc(machine, received, 1);
      return close(machine, received);
    }
    case 'churn':
      return churn(machine, job);
    case 'wait-and-hang':
      ready();
      syncWait(machine, job.timeline, LIMIT_MS);
      return hang(machine);
    case 'own-and-hang': {
      const timeline = swOpen(machine);
      const fence = swFence(machine, timeline, 1);
      const file = FdTable.current(machine).get(fence);
      FdTable.of(machine, job.table).install(file);
      atomicAdd(machine.mem, job.counter ?? 0, atomicLoad(machine.mem, job.counter ?? 0) + 1);
      ready();
      return hang(machine);
    }
    case 'merge-and-hang': {
      const fd = swFence(machine, job.timeline, 100);
      for (let n = 0; ; n++) {
        const merged = syncMerge(machine, fd, job.other!);
        syncWait(machine, merged, 0);
        close(machine, merged);
        if (n === 3) ready();
      }
    }
  }
});
