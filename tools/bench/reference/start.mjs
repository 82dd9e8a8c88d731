// Starting processes and workers on the bare platform.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { median, scaled } from '../lib/stats.mjs';

const EMPTY = fileURLToPath(new URL('empty.mjs', import.meta.url));

/** One run of a command: ms to its first output (to its end when it prints nothing), and ms to its end. */
export function timeCommand(file, args) {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    let firstOutput;
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const note = () => (firstOutput ??= performance.now() - start);
    child.stdout.on('data', note);
    child.stderr.on('data', note);
    child.once('error', reject);
    child.once('close', (code) => {
      const end = performance.now() - start;
      if (code === 0)
        resolve({ printed: firstOutput !== undefined, first_output_ms: firstOutput ?? end, exit_ms: end });
      else reject(new Error(`${args.join(' ')}: exit ${code}`));
    });
  });
}

/** Medians over several runs of the same command, after two to warm the caches. */
export async function timeCommands(file, args, runs = 11) {
  const results = [];
  for (let i = -2; i < scaled(runs); i++) {
    const result = await timeCommand(file, args);
    if (i >= 0) results.push(result);
  }
  const of = (key) => median(results.map((r) => r[key]));
  return { printed: results.every((r) => r.printed), first_output_ms: of('first_output_ms'), exit_ms: of('exit_ms') };
}

/** A script that prints nothing; its end stands for its first output. */
export async function emptyScript() {
  const { first_output_ms, exit_ms } = await timeCommands(process.execPath, [EMPTY]);
  return { first_output_ms, exit_ms };
}

/** ms from `new Worker` to the first message of each of `workers` workers that import nothing. */
export async function bareWorkers({ workers }) {
  const times = [];
  for (let i = 0; i < scaled(15); i++) {
    const start = performance.now();
    const started = Array.from(
      { length: workers },
      () => new Worker("require('node:worker_threads').parentPort.postMessage(1)", { eval: true }),
    );
    await Promise.all(
      started.map(
        (worker) =>
          new Promise((resolve, reject) => {
            worker.once('message', resolve);
            worker.once('error', reject);
          }),
      ),
    );
    times.push(performance.now() - start);
    await Promise.all(started.map((worker) => worker.terminate()));
  }
  return { ready_ms: median(times) };
}
