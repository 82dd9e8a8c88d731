// Fails when package-lock.json lacks an optional (platform) package that a locked package names: `npm ci` refuses such
// a lock file on a fresh clone. Also fails when the lock file names a registry host.
import { readFileSync } from 'node:fs';

const lock = JSON.parse(readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8'));
const entries = Object.entries(lock.packages);
const names = new Set(
  entries.filter(([path]) => path.includes('node_modules/')).map(([path]) => path.replace(/.*node_modules\//, '')),
);

const problems = entries.flatMap(([path, entry]) => [
  ...Object.keys(entry.optionalDependencies ?? {})
    .filter((name) => !names.has(name))
    .map((name) => `${path}@${entry.version}: ${name} is missing`),
  ...(/^https?:/.test(entry.resolved ?? '') ? [`${path}: resolved names a registry host`] : []),
]);

if (problems.length > 0) {
  console.error(problems.join('\n'));
  process.exit(1);
}
