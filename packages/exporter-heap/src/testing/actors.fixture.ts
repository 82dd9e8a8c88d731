import type { Act } from '#dist/testing/actor.test-worker.js';
import { readyWord } from '#dist/testing/ready.test-worker.js';
import { atomicLoad, type Machine, type TaskInfo } from '@dmabuf-emu/shm';
import { startTestWorker, type TestWorker } from '@dmabuf-emu/shm/testing';

/** A worker that does one thing, and its task. */
export interface Actor extends TestWorker<unknown> {
  readonly name: string;
  task(): TaskInfo | undefined;
}

const WAIT_MS = 10_000;

/** Polls without blocking the event loop. */
async function until(what: string, condition: () => boolean): Promise<void> {
  for (const start = performance.now(); !condition();) {
    if (performance.now() - start > WAIT_MS) throw new Error(`waited ${WAIT_MS} ms for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Starts a worker; resolves when it is about to do its thing. */
export async function startActor(machine: Machine, job: Act, name: string = job.do): Promise<Actor> {
  const at = readyWord(machine);
  const before = atomicLoad(machine.mem, at);
  const url = new URL(import.meta.resolve('#dist/testing/actor.test-worker.js'));
  const started = startTestWorker(url, machine, job, name);
  let failed: unknown;
  started.result.catch((error: unknown) => (failed = error));
  await until(`${name} to be ready`, () => {
    if (failed !== undefined) throw failed;
    return atomicLoad(machine.mem, at) > before;
  });
  return { ...started, name, task: () => machine.tasks().find((task) => task.name === name) };
}

/** The task of an actor sleeps for something whose name contains `label`. */
export async function asleepFor(actor: Actor, label: string): Promise<void> {
  await until(`${actor.name} to wait for ${label}`, () => actor.task()?.waitingFor?.label.includes(label) === true);
}

/** Ends an actor hard, in the middle of the kernel, and cleans up after it. */
export async function kill(machine: Machine, actor: Actor): Promise<void> {
  const id = actor.task()!.id;
  await actor.worker.terminate();
  machine.reap(id);
}
