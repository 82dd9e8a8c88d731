// Random scenarios, put to a real kernel and to the emulator.
//
//   node tools/differential/run.mjs [--seed N] [--count N] [--first N] print the scenarios
//   node tools/differential/run.mjs ... --socket PATH --record FILE    ask a kernel that serves scenarios, keep its answers
//
// The answers are then compared with `dmabuf-emu scn --kernel 7.3 --replay FILE`. A serving kernel reads scenarios up to a
// line `%%` and answers with a JSON line each, and `%%`; it says `%%` once when it is ready, and ends on `%quit`.
import { createWriteStream } from 'node:fs';
import net from 'node:net';
import { parseArgs } from 'node:util';
import { createGzip } from 'node:zlib';
import { generate } from './generate.mjs';

const BATCH = 20;

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '100' },
    first: { type: 'string', default: '0' },
    socket: { type: 'string' },
    record: { type: 'string' },
    kernel: { type: 'string', default: '7.3.4' },
  },
});
const [seed, count, first] = [values.seed, values.count, values.first].map(Number);
const scenarios = generate(seed, count, first);

/** The kernel behind a socket, as `ask(text)`. */
function connect(path) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(path);
    let text = '';
    let waiting;
    const answer = () => {
      const end = /%%\r?\n/.exec(text);
      if (end === null || waiting === undefined) return;
      const lines = text.slice(0, end.index).split(/\r?\n/);
      text = text.slice(end.index + end[0].length);
      const done = waiting;
      waiting = undefined;
      done(lines.filter((line) => line.startsWith('{')));
    };
    const next = () =>
      new Promise((done) => {
        waiting = done;
        answer();
      });
    socket.setEncoding('latin1');
    socket.on('data', (data) => {
      text += data;
      answer();
    });
    socket.on('error', reject);
    socket.on('connect', async () => {
      await next();
      resolve({
        ask: (scenario) => {
          socket.write(`${scenario.trimEnd()}\n%%\n`);
          return next();
        },
        close: () => socket.end('%quit\n'),
      });
    });
  });
}

if (values.socket === undefined) {
  process.stdout.write(scenarios.join('\n'));
} else {
  if (values.record === undefined) throw new Error('--socket needs --record FILE for the answers');
  const kernel = await connect(values.socket);
  const file = createWriteStream(values.record);
  const out = values.record.endsWith('.gz') ? createGzip() : file;
  if (out !== file) out.pipe(file);
  out.write(
    `${JSON.stringify({ kernel: values.kernel, machine: 'x86_64', label: `random ${seed}`, scenarios: count })}\n`,
  );
  for (let at = 0; at < scenarios.length; at += BATCH) {
    for (const line of await kernel.ask(scenarios.slice(at, at + BATCH).join('\n'))) out.write(`${line}\n`);
    if (process.stderr.isTTY) process.stderr.write(`\r${at} of ${count}`);
  }
  out.end();
  kernel.close();
}
