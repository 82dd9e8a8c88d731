import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Scenario } from '../language/scenario.ts';
import type { ScenarioResult, StepResult } from '../results/scenario-result.ts';
import { checkScenario } from './check-scenario.ts';
import type { KernelChoice } from './computer.ts';
import type { WorkerReport } from './scenario.worker.ts';

/** How scenarios are run. */
export interface RunOptions extends KernelChoice {
  /** Scenarios that run at the same time, each on a machine of its own. */
  readonly jobs?: number;
  /** This long after its start a scenario's program is ended. */
  readonly limitMs?: number;
  /** Is told of each result, in the order in which they come. */
  readonly onResult?: (result: ScenarioResult) => void;
}

const DEFAULT_LIMIT_MS = 20_000;
const MOST_JOBS = 4;
const WORKER = new URL(
  import.meta.url.endsWith('.ts') ? '../../../dist/scn/run/scenario.worker.js' : './scenario.worker.js',
  import.meta.url,
);

/**
 * Runs scenarios and returns their results in the order given.
 * @throws ScnError before anything runs when one of them is malformed
 */
export async function runScenarios(scenarios: readonly Scenario[], options: RunOptions): Promise<ScenarioResult[]> {
  scenarios.forEach(checkScenario);
  const { jobs = Math.min(MOST_JOBS, availableParallelism()), onResult } = options;
  const results: ScenarioResult[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    const runner = new Runner(options);
    try {
      for (let at = next++; at < scenarios.length; at = next++) {
        const result = await runner.run(scenarios[at]!);
        results[at] = result;
        onResult?.(result);
      }
    } finally {
      await runner.end();
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, Math.min(jobs, scenarios.length)) }, work));
  return results;
}

/** A thread that runs scenarios one after the other; replaced when it had to be stopped. */
class Runner {
  readonly #options: RunOptions;
  #worker: Worker | undefined;

  constructor(options: RunOptions) {
    this.#options = options;
  }

  /** Runs a scenario; one that exceeds the limit has died of it. */
  async run(scenario: Scenario): Promise<ScenarioResult> {
    const { kernel, quirks, limitMs = DEFAULT_LIMIT_MS } = this.#options;
    const worker = (this.#worker ??= new Worker(WORKER, { workerData: { kernel, quirks } }));
    const steps: StepResult[] = [];
    let stop = (): void => {};
    const outcome = await new Promise<ScenarioResult | 'timeout'>((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const listen = (report: WorkerReport): void => {
        if ('started' in report) timer = setTimeout(() => resolve('timeout'), limitMs);
        else if ('step' in report) steps.push(report.step);
        else if ('result' in report) resolve(report.result);
        else if ('failure' in report) resolve(failed(scenario, steps, report.failure));
      };
      stop = () => {
        clearTimeout(timer);
        worker.off('message', listen);
        worker.off('error', reject);
      };
      worker.on('message', listen);
      worker.on('error', reject);
      worker.postMessage(scenario);
    }).finally(() => stop());
    if (outcome !== 'timeout') return outcome;
    this.#worker = undefined;
    await worker.terminate();
    return { id: scenario.id, steps, died: 'timeout', kmsg: [], skipped: '' };
  }

  async end(): Promise<void> {
    const worker = this.#worker;
    if (worker === undefined) return;
    this.#worker = undefined;
    worker.postMessage(null);
    await new Promise((resolve) => worker.once('exit', resolve));
  }
}

/** What stopped a scenario that is neither the kernel's answer nor the program's end: a bug of the emulator. */
function failed({ id }: Scenario, steps: readonly StepResult[], text: string): ScenarioResult {
  return { id, steps, died: 'emulator', kmsg: [text], skipped: '' };
}
