import { parentPort, workerData } from 'node:worker_threads';
import type { Machine } from '@dmabuf-emu/shm';
import type { Scenario } from '../language/scenario.ts';
import type { ScenarioResult, StepResult } from '../results/scenario-result.ts';
import { createComputer, type KernelChoice } from './computer.ts';
import { runScenario } from './run-scenario.ts';

/** What the thread tells: that the program starts, each step, the result, or what stopped it. */
export type WorkerReport =
  | { readonly started: true }
  | { readonly step: StepResult }
  | { readonly result: ScenarioResult }
  | { readonly failure: string };

/** Scenarios that one machine serves, each as a program of its own. */
const SCENARIOS_PER_MACHINE = 64;

const choice = workerData as KernelChoice;
const port = parentPort!;
let machine: Machine | undefined;
let served = 0;

const report = (message: WorkerReport): void => port.postMessage(message);

port.on('message', (scenario: Scenario | null) => {
  if (scenario === null) {
    machine?.leave();
    port.close();
    return;
  }
  void serve(scenario);
});

async function serve(scenario: Scenario): Promise<void> {
  try {
    machine ??= createComputer(choice);
    report({ started: true });
    const { result, clean } = await runScenario(machine, scenario, (step) => report({ step }));
    if (!clean || ++served === SCENARIOS_PER_MACHINE) {
      machine.leave();
      machine = undefined;
      served = 0;
    }
    report({ result });
  } catch (error) {
    machine = undefined;
    served = 0;
    report({ failure: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
}
