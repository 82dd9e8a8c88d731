// Adds up the projects' vitest JSON results and closes with the plain line that CI reads.
import { existsSync, readdirSync, readFileSync } from 'node:fs';

const root = new URL('../', import.meta.url);
const projects = readdirSync(new URL('packages/', root))
  .map((dir) => `packages/${dir}`)
  .filter((dir) => existsSync(new URL(`${dir}/package.json`, root)));
projects.push('tools');

let [passed, failed, skipped] = [0, 0, 0];
for (const project of projects) {
  let results;
  try {
    results = JSON.parse(readFileSync(new URL(`${project}/.results/vitest.json`, root), 'utf8'));
  } catch {
    console.log(`${project}: no test results, counted as one failure`);
    failed += 1;
    continue;
  }
  // A file that does not load has no tests: it counts as one failure.
  const broken = results.testResults.filter(
    (f) => f.status === 'failed' && f.assertionResults.every((t) => t.status !== 'failed'),
  );
  for (const file of broken) console.log(`${project}: ${file.name} failed outside its tests`);
  passed += results.numPassedTests;
  failed += results.numFailedTests + broken.length;
  skipped += results.numPendingTests + results.numTodoTests;
}
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
