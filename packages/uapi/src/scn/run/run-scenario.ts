import type { DiagRecord, Machine } from '@dmabuf-emu/shm';
import { nodeAt } from '../../files/name-space.ts';
import { ProcessKilled } from '../../process/memory-signal.ts';
import { Process } from '../../process/process.ts';
import { open } from '../../syscalls/open.ts';
import { sleepMs } from '../../syscalls/sleep.ts';
import type { Scenario, Step } from '../language/scenario.ts';
import type { Variables } from '../ops/op-call.ts';
import type { Answer, ScenarioResult, StepResult } from '../results/scenario-result.ts';
import { BackgroundThread } from './background.ts';
import { PROGRAM } from './computer.ts';
import { runStep } from './run-step.ts';

/** How far a background step is ahead of the next one, once it waits or is done; how long that may take on a busy host. */
const AHEAD_MS = 30;
const SETTLE_MS = 2000;
const O_RDWR = 2;
const STANDARD_FDS = 3;

/** A scenario that has run. */
export interface ScenarioRun {
  readonly result: ScenarioResult;
  /** Whether the machine is as it was before, so that another scenario may run on it. */
  readonly clean: boolean;
}

/**
 * Runs a scenario as a program of its own on `machine`, in the calling thread and one more for each background step.
 * @param onStep is told of each step that has ended.
 */
export async function runScenario(
  machine: Machine,
  scenario: Scenario,
  onStep: (step: StepResult) => void = () => {},
): Promise<ScenarioRun> {
  const { id, needs, steps } = scenario;
  const nothing = { id, steps: [], died: '', kmsg: [], skipped: '' };
  if (needs !== '' && nodeAt(machine, needs) === undefined)
    return { result: { ...nothing, skipped: needs }, clean: true };
  const logged = machine.diag.records().at(-1)?.seq ?? -1;
  const process = Process.create(machine, { name: PROGRAM });
  for (let fd = 0; fd < STANDARD_FDS; fd++) open(process, '/dev/console', O_RDWR);
  const program = new Program(process, onStep);
  let died = '';
  try {
    await program.start(steps);
    died = program.run(steps);
  } finally {
    await program.end();
  }
  const { errors, leaks } = machine.verify();
  const faults = [...errors, ...leaks].map((text) => `verify: ${text}`);
  const kmsg = [
    ...machine.diag
      .records()
      .filter((record) => record.seq > logged)
      .flatMap(kernelMessage),
    ...faults,
  ];
  // What a program wrote to the system's files outlives it.
  const changed = machine.tainted || steps.some(({ op }) => op === 'write_file');
  return { result: { ...nothing, steps: program.results, died, kmsg }, clean: faults.length === 0 && !changed };
}

function kernelMessage({ kind, code, text }: DiagRecord): string[] {
  return kind === 'info' ? [] : [`${kind} ${code}: ${text}`];
}

/** The program that a scenario is: its variables, and its threads. */
class Program {
  readonly results: StepResult[] = [];
  readonly #process: Process;
  readonly #onStep: (step: StepResult) => void;
  readonly #variables: Variables = new Map();
  /** Threads that no step has used yet; those of steps that are under way, by their name. */
  readonly #idle: BackgroundThread[] = [];
  readonly #busy = new Map<string, BackgroundThread>();
  readonly #threads: BackgroundThread[] = [];

  constructor(process: Process, onStep: (step: StepResult) => void) {
    this.#process = process;
    this.#onStep = onStep;
  }

  /** Starts a thread for each step in the background. */
  async start(steps: readonly Step[]): Promise<void> {
    const count = steps.filter(({ background }) => background).length;
    for (let index = 0; index < count; index++) {
      const thread = await BackgroundThread.start(this.#process, index);
      this.#threads.push(thread);
      this.#idle.push(thread);
    }
  }

  /** Carries the steps out; returns how the program was ended before the last one, '' when it was not. */
  run(steps: readonly Step[]): string {
    for (const step of steps) {
      try {
        const result = { step, answer: this.#answer(step) };
        this.results.push(result);
        this.#onStep(result);
      } catch (error) {
        if (error instanceof ProcessKilled) return error.signal.replace('SIG', '');
        throw error;
      }
    }
    return '';
  }

  async end(): Promise<void> {
    for (const thread of this.#threads) await thread[Symbol.asyncDispose]();
    this.#process.exit();
    this.#process.machine.flushWork();
  }

  #answer(step: Step): Answer {
    if (step.op === 'join') return this.#join(step);
    if (step.background) return this.#begin(step);
    const { answer, kept } = runStep(this.#process, step, this.#variables);
    this.#keep(kept);
    return answer;
  }

  #begin(step: Step): Answer {
    const thread = this.#idle.shift()!;
    this.#busy.set(step.as, thread);
    thread.begin({ step, variables: this.#variables });
    for (let ms = 0; ms < SETTLE_MS && !thread.isSettled; ms++) sleepMs(this.#process, 1);
    sleepMs(this.#process, AHEAD_MS);
    return {};
  }

  #join({ args }: Step): Answer {
    const name = args.find(([key]) => key === 'name')?.[1] ?? '';
    const thread = this.#busy.get(name);
    if (thread === undefined) throw new RangeError(`expected name= of a bg step that is not joined yet, got '${name}'`);
    this.#busy.delete(name);
    const { answer, kept } = thread.join();
    this.#keep(kept);
    return answer;
  }

  #keep(kept: Variables): void {
    for (const [name, value] of kept) this.#variables.set(name, value);
  }
}
