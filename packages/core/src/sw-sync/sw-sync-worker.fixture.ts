import { FdTable } from '@dmabuf-emu/core';
import { Completion, type Machine } from '@dmabuf-emu/shm';
import { startTestWorker, type TestWorker } from '@dmabuf-emu/shm/testing';
import type { SwSyncJob } from './sw-sync.test-worker.ts';

const url = new URL(import.meta.resolve('#dist/sw-sync/sw-sync.test-worker.js'));
const LIMIT_MS = 20_000;

/** Starts a worker on a job in the test's process, and waits until it is about to do it. */
export async function startSwSyncJob<R = void>(
  machine: Machine,
  job: Omit<SwSyncJob, 'ready' | 'table'>,
  name = 'worker',
): Promise<TestWorker<R> & { task: number }> {
  const ready = machine.root(`ready-${name}`, 16);
  const worker = startTestWorker<R>(url, machine, { ...job, ready, table: FdTable.current(machine).ref }, name);
  if (!(await new Completion(machine, ready, 'ready').waitAsync(LIMIT_MS))) throw new Error(`${name} is not ready`);
  return { ...worker, task: machine.tasks().find((task) => task.name === name)?.id ?? 0 };
}

/** Starts `count` workers at once. */
export function startMany<R = void>(
  machine: Machine,
  count: number,
  job: (id: number) => Omit<SwSyncJob, 'ready' | 'table'>,
): Promise<(TestWorker<R> & { task: number })[]> {
  return Promise.all(Array.from({ length: count }, (_, id) => startSwSyncJob<R>(machine, job(id), `worker${id}`)));
}
