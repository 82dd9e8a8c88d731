import { Completion, WaitQueue, type Machine } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';

/** Waits as told and returns what came of it. */
export interface WaitJob {
  readonly job: 'completion' | 'queue';
  readonly at: number;
  readonly ready: number;
  readonly timeoutMs?: number;
  readonly interruptible?: boolean;
}

await runTestWorker((machine: Machine, { job, at, ready, ...options }: WaitJob) => {
  new Completion(machine, ready, 'ready').complete();
  try {
    if (job === 'completion') return new Completion(machine, at, 'test').wait(options);
    return new WaitQueue(machine, at, 'test').waitUntil(() => machine.mem.i32[at + 8] === 3, options);
  } catch (error) {
    machine.clearSignal();
    return (error as { code: string }).code;
  }
});
