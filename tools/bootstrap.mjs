// Installs the dependencies when node_modules is missing or older than the lock file.
import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';

const time = (file) => statSync(new URL(file, import.meta.url), { throwIfNoEntry: false })?.mtimeMs ?? 0;

if (time('../node_modules/.package-lock.json') < time('../package-lock.json')) {
  const cwd = new URL('..', import.meta.url);
  const shell = process.platform === 'win32';
  // npm's report goes to stderr: stdout belongs to the command that runs afterwards.
  const { status } = spawnSync('npm', ['ci'], { cwd, stdio: ['inherit', 2, 'inherit'], shell });
  process.exit(status ?? 1);
}
