import { writeFile } from 'node:fs/promises';
import { Command } from '../commander.ts';

interface TraceOptions {
  readonly chrome?: string;
}

/** `dmabuf-emu trace FILE [--chrome OUT]` */
export function traceCommand(done: (exitCode: number) => void): Command {
  return new Command('trace')
    .description('shows what a .trace file holds, or converts it')
    .argument('<file>', 'trace file, as written by stress --trace')
    .option('--chrome <out>', 'write JSON for https://ui.perfetto.dev or chrome://tracing')
    .action(async (file: string, { chrome }: TraceOptions) => {
      const { readTraceFile, toChromeJson } = await import('@dmabuf-emu/trace');
      const trace = await readTraceFile(file);
      if (chrome === undefined) {
        process.stdout.write(`${describe(trace)}\n`);
      } else {
        const json = toChromeJson(trace);
        await writeFile(chrome, JSON.stringify(json));
        process.stderr.write(`${chrome}: ${json.traceEvents.length} events\n`);
      }
      done(0);
    });
}

type Trace = Awaited<ReturnType<typeof import('@dmabuf-emu/trace').readTraceFile>>;

function describe({ meta, tasks, events, diagnostics, dropped }: Trace): string {
  const counts = new Map<string, number>();
  for (const { name } of events) counts.set(name, (counts.get(name) ?? 0) + 1);
  const first = events[0]?.timeMs ?? 0;
  const last = events.at(-1)?.timeMs ?? 0;
  return [
    ...Object.entries(meta).map(
      ([key, value]) => `${key}: ${typeof value === 'string' ? value : JSON.stringify(value)}`,
    ),
    `tasks: ${tasks.map(({ id, name }) => `${name} (${id})`).join(', ')}`,
    `events: ${events.length} from ${first.toFixed(3)} to ${last.toFixed(3)} ms, ${dropped} older ones dropped`,
    ...[...counts].toSorted((a, b) => b[1] - a[1]).map(([name, n]) => `  ${String(n).padStart(9)}  ${name}`),
    `diagnostics: ${diagnostics.length}`,
    ...diagnostics.map(({ kind, code, text }) => `  ${kind} ${code}: ${text}`),
  ].join('\n');
}
