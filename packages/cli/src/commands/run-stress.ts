import { randomInt } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  formatCount,
  formatNs,
  formatSummary,
  PLAIN,
  planStress,
  runStress,
  type StressResult,
} from '@dmabuf-emu/stress';
import { LiveLine } from '../terminal/live-line.ts';
import { progressText } from '../terminal/progress-text.ts';
import { styleFor } from '../terminal/style.ts';
import type { StressFlags } from './stress-flags.ts';
import { readStressInput } from './stress-input.ts';

/**
 * Runs a stress scenario as asked for on the command line. Progress goes to stderr, the summary (or with `--json` only the
 * document) to stdout. @returns the exit code.
 */
export async function runStressCommand(flags: StressFlags): Promise<number> {
  const { scenario, machine, repro } = await readStressInput(flags, () => randomInt(0, 2 ** 32));
  planStress(scenario, machine);
  if (flags.out !== undefined) await mkdir(flags.out, { recursive: true });
  const traceFile = flags.trace ?? (flags.out === undefined ? undefined : join(flags.out, 'run.trace'));
  // A file that cannot be written is bad input: better known before the run than after it.
  if (traceFile !== undefined) await writeFile(traceFile, '');
  const line = new LiveLine(process.stderr, () => performance.now());
  const show = flags.json !== true || process.stderr.isTTY;
  const formats = { count: formatCount, ns: formatNs };
  let result: StressResult;
  try {
    result = await runStress({
      scenario,
      repro,
      ...(machine === undefined ? {} : { machine }),
      ...(traceFile === undefined ? {} : { traceFile }),
      onProgress: (progress) => {
        if (show) line.update(progressText(progress, formats));
      },
    });
  } finally {
    line.end();
  }
  if (flags.out !== undefined) await writeResult(flags.out, result);
  if (flags.json === true) process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  else process.stdout.write(formatSummary(result, styleFor(process.stdout)));
  if (result.exitCode !== 0 && flags.json === true) process.stderr.write(`again: ${result.repro}\n`);
  return result.exitCode;
}

async function writeResult(folder: string, result: StressResult): Promise<void> {
  await writeFile(join(folder, 'result.json'), `${JSON.stringify(result, null, 2)}\n`);
  await writeFile(join(folder, 'summary.txt'), formatSummary(result, PLAIN));
}
