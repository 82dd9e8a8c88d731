// node tools/check.mjs TARGET...: runs the nx targets in every project; then, whatever nx's status was, looks for upstream cases
// without a test that passed, and adds up. Exits with the worst of the three.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const cwd = fileURLToPath(new URL('..', import.meta.url));
const nx = createRequire(import.meta.url).resolve('nx/bin/nx.js');
const run = (...args) => spawnSync(process.execPath, args, { cwd, stdio: 'inherit' }).status ?? 1;

const status = run(nx, 'run-many', '-t', ...process.argv.slice(2));
const conformance = run('tools/conformance/run.mjs', '--check');
process.exitCode = Math.max(status, conformance, run('tools/summary.mjs'));
