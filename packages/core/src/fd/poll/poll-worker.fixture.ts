import { FdTable } from '@dmabuf-emu/core';
import { Completion, type Machine } from '@dmabuf-emu/shm';
import { startTestWorker, type TestWorker } from '@dmabuf-emu/shm/testing';
import type { PollJob } from './poll.test-worker.ts';

const url = new URL(import.meta.resolve('#dist/fd/poll/poll.test-worker.js'));

/** Bound of every wait of these tests. */
export const LIMIT_MS = 10_000;

/** Starts a worker in the calling task's process on a job, and waits until it is about to do it. */
export async function startPollJob<R>(
  machine: Machine,
  job: Omit<PollJob, 'ready' | 'table'>,
  name = 'worker',
): Promise<TestWorker<R> & { task: number }> {
  const ready = machine.root(`ready-${name}`, 16);
  const worker = startTestWorker<R>(url, machine, { ...job, ready, table: FdTable.current(machine).ref }, name);
  if (!(await new Completion(machine, ready, 'ready').waitAsync(LIMIT_MS))) throw new Error(`${name} is not ready`);
  return { ...worker, task: machine.tasks().find((task) => task.name === name)?.id ?? 0 };
}

/** Resolves once the task sleeps. */
export async function untilAsleep(machine: Machine, task: number): Promise<void> {
  for (let turn = 0; turn < 1_000_000; turn++) {
    if (machine.tasks().some((t) => t.id === task && t.state === 'sleeping')) return;
    await new Promise(setImmediate);
  }
  throw new Error(`task ${task} does not sleep`);
}
