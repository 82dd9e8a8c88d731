import { FenceStruct } from '#dist/fence/internal/layout.js';
import { Completion, type Machine, taskAt, TaskStruct } from '@dmabuf-emu/shm';
import { startTestWorker, type TestWorker } from '@dmabuf-emu/shm/testing';
import type { ResvJob } from './resv.test-worker.ts';

const url = new URL(import.meta.resolve('#dist/resv/resv.test-worker.js'));
const LIMIT_MS = 10_000;

/** Starts a worker on a job; unless told not to, waits until it is about to do it. */
export async function startResvJob<R>(
  machine: Machine,
  job: Omit<ResvJob, 'ready' | 'stop'> & { readonly stop?: number },
  { ready = true, name = 'worker' }: { ready?: boolean; name?: string } = {},
): Promise<TestWorker<R> & { task: number }> {
  const at = machine.root(`ready-${name}`, 16);
  const worker = startTestWorker<R>(url, machine, { stop: 0, ...job, ready: at }, name);
  if (ready && !(await new Completion(machine, at, 'ready').waitAsync(LIMIT_MS)))
    throw new Error(`${name} is not ready`);
  return { ...worker, task: machine.tasks().find((task) => task.name === name)?.id ?? 0 };
}

/** Resolves once the task sleeps for this fence. */
export async function untilAsleep(machine: Machine, task: number, fence: number): Promise<void> {
  const word = machine.slab(FenceStruct).at(fence) + FenceStruct.state.at;
  for (let turn = 0; turn < 1_000_000; turn++) {
    if (TaskStruct.sleepAt.load(machine.mem, taskAt(task)) === word) return;
    await new Promise(setImmediate);
  }
  throw new Error(`task ${task} does not sleep for fence ${fence}`);
}
