import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { Machine, type MachineHandle } from './machine/machine.ts';
import type { MachineOptions } from './machine/options.ts';

/** Options that suit tests: small, everything checked. */
export const TEST_OPTIONS: MachineOptions = {
  arenaBytes: 64 << 20,
  memoryBytes: 16 << 20,
  lockdep: true,
  debugObjects: true,
};

/**
 * A machine for one test: `using machine = testMachine()`. When the test ends, the machine must verify clean and must hold no
 * diagnostic that the test did not announce with `machine.diag.expect`; otherwise the test fails.
 */
export function testMachine(options: MachineOptions = {}): Machine {
  const machine = Machine.create({ ...TEST_OPTIONS, ...options, name: 'test' });
  const leave = machine[Symbol.dispose].bind(machine);
  machine[Symbol.dispose] = () => {
    machine.flushWork();
    const report = machine.verify();
    const unexpected = machine.diag.unexpected();
    leave();
    const problems = [...report.errors, ...report.leaks, ...unexpected.map((r) => `${r.kind} ${r.code}: ${r.text}`)];
    if (problems.length > 0) throw new Error(`the machine is not clean after the test:\n  ${problems.join('\n  ')}`);
  };
  return machine;
}

/**
 * How often a property is tried that is tried `usual` times in every test run: DMABUF_EMU_RUNS_FACTOR times as often, which
 * the nightly run sets.
 */
export function propertyRuns(usual: number): number {
  return usual * runsFactor();
}

/** How long a property may take that may take `usualMs` in every test run. */
export function propertyTimeoutMs(usualMs: number): number {
  return usualMs * runsFactor();
}

function runsFactor(): number {
  return Number(process.env['DMABUF_EMU_RUNS_FACTOR'] ?? 1);
}

/** A worker that a test started, joined to the machine. */
export interface TestWorker<R> {
  readonly worker: Worker;
  /** What the worker's job returned; rejects when it threw or ended early. */
  readonly result: Promise<R>;
}

/** Starts a worker file that calls {@link runTestWorker}. */
export function startTestWorker<R>(url: URL, machine: Machine, args: unknown, name = 'worker'): TestWorker<R> {
  const worker = new Worker(url, { workerData: { machine: machine.handle, args, name } });
  const result = (async (): Promise<R> => {
    const [message] = (await Promise.race([
      once(worker, 'message'),
      once(worker, 'exit').then(([code]) => [
        { error: `worker ${name} ended with code ${String(code)} before it answered` },
      ]),
    ])) as [{ value?: R; error?: string }];
    if (message.error !== undefined) throw new Error(message.error);
    return message.value as R;
  })();
  result.catch(() => {});
  return { worker, result };
}

/** The other side of {@link startTestWorker}: joins the machine, runs the job, leaves, answers. */
export async function runTestWorker<A, R>(job: (machine: Machine, args: A) => R | Promise<R>): Promise<void> {
  const { parentPort, workerData } = await import('node:worker_threads');
  const { machine: handle, args, name } = workerData as { machine: MachineHandle; args: A; name: string };
  const machine = Machine.join(handle, { name });
  let answer: { value: R } | { error: string };
  try {
    answer = { value: await job(machine, args) };
  } catch (error) {
    answer = { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
  machine.leave();
  parentPort!.postMessage(answer);
}
