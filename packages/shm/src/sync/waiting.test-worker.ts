import { Completion, WaitQueue, type Machine } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';

/** Waits as told and returns what came of it. */
export interface WaitJob {
  readonly job: 'completion' | 'queue' | 'consume';
  readonly at: number;
  readonly ready: number;
  readonly timeoutMs?: number;
  readonly interruptible?: boolean;
  readonly rounds?: number;
}

/** How many of `rounds` waits were served. */
function consume(done: Completion, rounds: number): number {
  let served = 0;
  for (let i = 0; i < rounds; i++) if (done.wait({ timeoutMs: 20_000 })) served++;
  return served;
}

await runTestWorker((machine: Machine, { job, at, ready, rounds = 0, ...options }: WaitJob) => {
  new Completion(machine, ready, 'ready').complete();
  try {
    if (job === 'completion') return new Completion(machine, at, 'test').wait(options);
    if (job === 'consume') return consume(new Completion(machine, at, 'test'), rounds);
    return new WaitQueue(machine, at, 'test').waitUntil(() => machine.mem.i32[at + 8] === 3, options);
  } catch (error) {
    machine.clearSignal();
    return (error as { code: string }).code;
  }
});
