// P29: runs packages/cli/bin/dmabuf-emu.js. P30: workers that call Machine.join(handle).
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { timeCommands } from '../reference/start.mjs';
import { NotWired } from '../lib/not-wired.mjs';
import { median, scaled } from '../lib/stats.mjs';
import { createMachine } from './machine.mjs';

const CLI = fileURLToPath(new URL('../../../packages/cli/bin/dmabuf-emu.js', import.meta.url));
const BUILT = fileURLToPath(new URL('../../../packages/cli/dist/main.js', import.meta.url));

export async function commandLine({ args }) {
  if (!existsSync(BUILT)) throw new NotWired('packages/cli is not built');
  const times = await timeCommands(process.execPath, [CLI, ...args]);
  if (!times.printed) throw new NotWired(`the command prints nothing for ${args.join(' ')}`);
  return { first_output_ms: times.first_output_ms, exit_ms: times.exit_ms };
}

/** ms until `workers` fresh threads have joined a machine, counted by one atomic word. */
export async function workersReady({ workers }) {
  const machine = await createMachine();
  const ready = machine.root('bench.ready', 16);
  const words = machine.mem.i32;
  const times = [];
  for (let run = 0; run < scaled(7); run++) {
    Atomics.store(words, ready, 0);
    const start = performance.now();
    const started = Array.from(
      { length: workers },
      () => new Worker(new URL('join.worker.mjs', import.meta.url), { workerData: { handle: machine.handle } }),
    );
    const failed = new Promise((_, reject) => started.forEach((w) => w.once('error', reject)));
    for (let seen; (seen = Atomics.load(words, ready)) < workers;) {
      await Promise.race([machine.waitAsync(ready, seen, 'bench'), failed]);
    }
    times.push(performance.now() - start);
    await Promise.all(started.map((w) => w.terminate()));
  }
  return { ready_ms: median(times) };
}
