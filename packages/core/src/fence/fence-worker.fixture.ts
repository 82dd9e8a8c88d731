import { Completion, type Machine } from '@dmabuf-emu/shm';
import { startTestWorker, type TestWorker } from '@dmabuf-emu/shm/testing';
import type { FenceJob } from './fence.test-worker.ts';

const url = new URL(import.meta.resolve('#dist/fence/fence.test-worker.js'));

/** Bound of every wait of these tests. */
export const LIMIT_MS = 45_000;

/** Starts a worker on a job; with `ready`, waits until it is about to do it. */
export async function startJob<R>(
  machine: Machine,
  job: Omit<FenceJob, 'ready'>,
  { ready = false, name = 'worker' }: { ready?: boolean; name?: string } = {},
): Promise<TestWorker<R> & { task: number }> {
  const at = machine.root(`ready-${name}`, 16);
  const worker = startTestWorker<R>(url, machine, { ...job, ready: at }, name);
  if (ready && !(await new Completion(machine, at, 'ready').waitAsync(LIMIT_MS)))
    throw new Error(`${name} is not ready`);
  return { ...worker, task: machine.tasks().find((task) => task.name === name)?.id ?? 0 };
}

/** Resolves once the task sleeps for a fence. */
export async function untilAsleep(machine: Machine, task: number): Promise<void> {
  const end = machine.clock.manual ? Number.POSITIVE_INFINITY : machine.clock.nowMs() + LIMIT_MS;
  for (let turn = 0; turn < 1_000_000 && machine.clock.nowMs() < end; turn++) {
    if (machine.tasks().some((t) => t.id === task && t.state === 'sleeping')) return;
    await new Promise(setImmediate);
  }
  throw new Error(`task ${task} does not sleep`);
}
