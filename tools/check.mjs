// node tools/check.mjs TARGET...: runs the nx targets in every project, then the summary whatever nx's status was.
// Exits with the worse of the two.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const cwd = fileURLToPath(new URL('..', import.meta.url));
const nx = createRequire(import.meta.url).resolve('nx/bin/nx.js');
const run = (...args) => spawnSync(process.execPath, args, { cwd, stdio: 'inherit' }).status ?? 1;

const status = run(nx, 'run-many', '-t', ...process.argv.slice(2));
process.exitCode = Math.max(status, run('tools/summary.mjs'));
