// Writes docs/conformance.md from the results of the last test run: every upstream case, and how its tests ended.
//
//   node tools/conformance/run.mjs [--check]
//
// Exits with 1 when a case has no test or one that did not pass; with --check, which writes nothing, also when the page is
// not what would be written.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { SUITES } from './cases.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const PAGE = `${root}docs/conformance.md`;
const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });

const tests = readTests();
const suites = SUITES.map((suite) => ({ ...suite, cases: suite.cases.map((entry) => judge(suite.suite, entry)) }));
const open = suites.flatMap(({ suite, cases }) =>
  cases.filter((c) => c.result !== 'passed').map((c) => ({ suite, ...c })),
);
for (const { suite, name, result } of open) console.log(`conformance: ${suite}: ${name}: ${result}`);
if (open.length > 0) process.exitCode = 1;

const text = render();
if (!values.check) {
  writeFileSync(PAGE, text);
} else if (!existsSync(PAGE) || readFileSync(PAGE, 'utf8') !== text) {
  console.log('docs/conformance.md is out of date: node tools/conformance/run.mjs');
  process.exitCode = 1;
}

/** Every test that ran last, of every package. */
function readTests() {
  return readdirSync(`${root}packages`).flatMap((folder) => {
    const file = `${root}packages/${folder}/.results/vitest.json`;
    if (!existsSync(file)) return [];
    return JSON.parse(readFileSync(file, 'utf8')).testResults.flatMap(({ name, assertionResults }) =>
      assertionResults.map(({ ancestorTitles, title, status }) => ({
        // Results that come from nx's cache may have been made in another clone.
        file: name.slice(name.lastIndexOf('/packages/') + 1),
        path: [...ancestorTitles, title].join(' > '),
        status,
      })),
    );
  });
}

function judge(suite, entry) {
  const [name, expression] = Array.isArray(entry) ? entry : [entry];
  const mine = tests.filter(({ path }) =>
    expression === undefined ? path === `${suite} > ${name}` : expression.test(path),
  );
  const bad = mine.find(({ status }) => status !== 'passed');
  const result = mine.length === 0 ? 'no test' : (bad?.status ?? 'passed');
  return { name, result, files: Array.from(new Set(mine.map(({ file }) => file)), String).toSorted() };
}

function render() {
  const all = suites.flatMap(({ cases }) => cases);
  const head = [
    '# Conformance',
    '',
    "The kernel's own tests of dma-bufs, reservation objects, fences and ww mutexes, and those of IGT, case by case; then tests",
    'that the kernel lacks. Written by `node tools/conformance/run.mjs` from the results of `npm test`.',
    '',
    `${all.filter(({ result }) => result === 'passed').length} of ${all.length} cases pass.`,
    '',
  ];
  const sections = suites.flatMap(({ suite, source, cases }) => [
    `## ${suite}`,
    '',
    ...(source === 'none' ? [] : [`\`${source}\``, '']),
    '| case | result | in |',
    '| --- | --- | --- |',
    ...cases.map(
      ({ name, result, files }) =>
        `| ${name} | ${result} | ${files.map((file) => `[${file}](../${file})`).join(', ')} |`,
    ),
    '',
  ]);
  return [...head, ...sections].join('\n');
}
