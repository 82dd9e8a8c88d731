import { DmaBuf } from '@dmabuf-emu/core';
import { Completion, type Machine } from '@dmabuf-emu/shm';
import { startTestWorker, type TestWorker } from '@dmabuf-emu/shm/testing';
import type { BufferPollJob } from './poll.test-worker.ts';

const url = new URL(import.meta.resolve('#dist/dma-buf/poll.test-worker.js'));

/** Starts a worker on a job, and waits until it is about to do it. */
export async function startBufferPoll<R = number[]>(
  machine: Machine,
  job: Omit<BufferPollJob, 'ready' | 'exporter'>,
  name = 'worker',
): Promise<TestWorker<R> & { task: number }> {
  const ready = machine.root(`ready-${name}`, 16);
  const exporter = job.dmabuf === undefined ? 'none' : DmaBuf.of(machine, job.dmabuf).exporter.name;
  const worker = startTestWorker<R>(url, machine, { ...job, ready, exporter }, name);
  if (!(await new Completion(machine, ready, 'ready').waitAsync(10_000))) throw new Error(`${name} is not ready`);
  return { ...worker, task: machine.tasks().find((task) => task.name === name)?.id ?? 0 };
}
