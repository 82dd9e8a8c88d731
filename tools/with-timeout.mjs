// node tools/with-timeout.mjs SECONDS COMMAND ARG...: runs a command and kills it with all its children when the time
// is over (exit 124). A test that blocks in Atomics.wait stops vitest's own timers, hence the watch from outside.
// With --outputFile.json=FILE among the arguments, FILE is removed first, so that no old result outlives a killed run.
import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';

const [seconds, command, ...args] = process.argv.slice(2);
const output = args.find((arg) => arg.startsWith('--outputFile.json='));
if (output) rmSync(output.slice(output.indexOf('=') + 1), { force: true });

const windows = process.platform === 'win32';
const child = spawn(command, args, { stdio: 'inherit', shell: windows, detached: !windows });
const kill = (signal) => {
  try {
    process.kill(windows ? child.pid : -child.pid, signal);
  } catch {
    // it has ended
  }
};

let timedOut = false;
const timer = setTimeout(
  () => {
    timedOut = true;
    console.error(`${command}: still running after ${seconds} s, killed`);
    kill('SIGKILL');
  },
  Number(seconds) * 1000,
);

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => kill(signal));
child.on('error', (error) => {
  clearTimeout(timer);
  console.error(error.message);
  process.exitCode = 127;
});
child.on('exit', (code) => {
  clearTimeout(timer);
  process.exitCode = timedOut ? 124 : (code ?? 1);
});
