import {
  formatCounts,
  formatDifference,
  replay,
  type ResultValue,
  resultLine,
  runScenarios,
  type Scenario,
  type ScenarioResult,
  writeJson,
} from '@dmabuf-emu/uapi';
import { LiveLine } from '../terminal/live-line.ts';
import { styleFor } from '../terminal/style.ts';
import type { ScnFlags } from './scn-flags.ts';
import { readScnInput, type ScnInput } from './scn-input.ts';

/** Runs scenarios as asked for on the command line. Progress goes to stderr, answers and differences to stdout. @returns the exit code. */
export async function runScnCommand(files: readonly string[], flags: ScnFlags): Promise<number> {
  const input = await readScnInput(files, flags);
  const line = new LiveLine(process.stderr, () => performance.now());
  const show = flags.json !== true || process.stderr.isTTY;
  const results = new InOrder(input.scenarios, flags.json === true || input.recording === undefined);
  let done = 0;
  const onResult = (result: ScenarioResult): void => {
    results.add(result);
    done++;
    if (show) line.update(`${done}/${input.scenarios.length} ${result.id}`);
  };
  try {
    return input.recording === undefined ? await runOnly(input, onResult) : await compare(input, flags, onResult);
  } finally {
    line.end();
  }
}

async function runOnly({ scenarios, choice }: ScnInput, onResult: (result: ScenarioResult) => void): Promise<number> {
  const head = { kernel: choice.kernel, machine: 'x86_64', label: 'dmabuf-emu', scenarios: scenarios.length };
  process.stdout.write(`${writeJson(head)}\n`);
  const results = await runScenarios(scenarios, { ...choice, onResult });
  return results.some(({ kmsg, died }) => kmsg.length > 0 || died === 'timeout') ? 1 : 0;
}

async function compare(
  { scenarios, recording, choice }: ScnInput,
  flags: ScnFlags,
  onResult: (result: ScenarioResult) => void,
): Promise<number> {
  const report = await replay(recording!, { ...choice, onResult }, scenarios);
  if (flags.json === true) {
    process.stdout.write(`${writeJson(report as unknown as ResultValue)}\n`);
  } else {
    const style = styleFor(process.stdout);
    const byId = new Map(scenarios.map((scenario) => [scenario.id, scenario]));
    for (const difference of report.differences) {
      process.stdout.write(formatDifference(difference, byId.get(difference.id), style));
    }
    process.stdout.write(formatCounts(report, style));
  }
  return report.different === 0 ? 0 : 1;
}

/** Prints results in the order of the scenarios, each as soon as those before it are there. */
class InOrder {
  readonly #ids: string[];
  readonly #print: boolean;
  readonly #waiting = new Map<string, ScenarioResult>();

  constructor(scenarios: readonly Scenario[], print: boolean) {
    this.#ids = scenarios.map(({ id }) => id);
    this.#print = print;
  }

  add(result: ScenarioResult): void {
    if (!this.#print) return;
    this.#waiting.set(result.id, result);
    while (this.#ids.length > 0 && this.#waiting.has(this.#ids[0]!)) {
      process.stdout.write(`${resultLine(this.#waiting.get(this.#ids.shift()!)!)}\n`);
    }
  }
}
