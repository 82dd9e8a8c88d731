// Breaks the code on purpose, one change at a time, in a scratch copy, and checks that tests and a stress run notice.
//
//   node tools/mutants/run.mjs [--only NAME,NAME] [--seed N] [--seconds N] [--no-test] [--no-stress]
//   node tools/mutants/run.mjs --set core|pci [--only NAME,NAME]
//
// The sets `core` and `pci` break packages/core and packages/pci-iommu and run the tests that each mutant names, no stress. Once
// every mutant of one has run, at once or by name, its page is written: docs/mutants.md, docs/mutants-pci.md.
// Exit 0 when every mutant was caught by each check that ran.
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CORE_MUTANTS } from './core-mutants.mjs';
import { MUTANTS } from './mutants.mjs';
import { PCI_MUTANTS } from './pci-mutants.mjs';
import { renderPage } from './page.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { values } = parseArgs({
  options: {
    set: { type: 'string', default: 'revoke' },
    only: { type: 'string' },
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '10' },
    'no-test': { type: 'boolean', default: false },
    'no-stress': { type: 'boolean', default: false },
  },
});
/** Sets with a package break that one only, and have a page. */
const SETS = {
  revoke: { mutants: MUTANTS },
  core: { mutants: CORE_MUTANTS, package: 'core', page: 'docs/mutants.md' },
  pci: { mutants: PCI_MUTANTS, package: 'pci-iommu', page: 'docs/mutants-pci.md' },
};
if (!Object.hasOwn(SETS, values.set))
  throw new Error(`no set of that name; there are: ${Object.keys(SETS).join(', ')}`);
const set = SETS[values.set];
const all = set.mutants;
const chosen = all.filter((m) => values.only === undefined || values.only.split(',').includes(m.name));
if (chosen.length === 0) throw new Error(`no mutant of that name; there are: ${all.map((m) => m.name).join(', ')}`);

/** A copy of the sources whose node_modules point at the copy's own packages. */
function scratchCopy() {
  const copy = mkdtempSync(join(tmpdir(), 'mutants-'));
  const skipped = new Set(['node_modules', '.git', '.nx', '.results', 'out-tsc']);
  cpSync(root, copy, { recursive: true, filter: (from) => !skipped.has(from.split('/').at(-1)) });
  mkdirSync(join(copy, 'node_modules', '@dmabuf-emu'), { recursive: true });
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (name !== '@dmabuf-emu' && name !== 'dmabuf-emu')
      symlinkSync(join(root, 'node_modules', name), join(copy, 'node_modules', name));
  }
  for (const folder of readdirSync(join(copy, 'packages'))) {
    const { name } = JSON.parse(readFileSync(join(copy, 'packages', folder, 'package.json'), 'utf8'));
    symlinkSync(join(copy, 'packages', folder), join(copy, 'node_modules', name));
  }
  return copy;
}

function run(cwd, command, seconds) {
  const { status, signal, stdout, stderr } = spawnSync(command[0], command.slice(1), {
    cwd,
    encoding: 'utf8',
    timeout: seconds * 1000,
    killSignal: 'SIGKILL',
    maxBuffer: 1 << 28,
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: '0' },
  });
  return { status: signal === null ? status : `killed after ${seconds} s`, stdout, output: `${stdout}${stderr}` };
}

function firstFailure(output) {
  const failed = /FAIL +(.*)/.exec(output) ?? /[×✗] +(.*)/.exec(output);
  return failed?.[1]?.trim() ?? output.trim().split('\n').at(-1);
}

function findingOf({ stdout, output }) {
  try {
    const { violations, hangs, verify } = JSON.parse(stdout);
    if (violations.length > 0) return `${violations[0].rule}: ${violations[0].text}`;
    if (hangs.length > 0) return `hang: ${JSON.stringify(hangs[0])}`;
    return `verify: ${JSON.stringify(verify)}`;
  } catch {
    return output.trim().split('\n').at(-1);
  }
}

/** What tells the mutant from the code; undefined when nothing does. */
function testMutant(copy, { tests = [], projects = [`@dmabuf-emu/${set.package}`] }) {
  const project = projects.flatMap((name) => ['--project', name]);
  const { status, output } = run(
    copy,
    ['npx', 'vitest', 'run', '--bail', '1', ...project, ...tests],
    set.package === undefined ? 600 : 150,
  );
  if (status === 0) return undefined;
  return typeof status === 'number' ? firstFailure(output) : `the tests were ${status}`;
}

function stressMutant(copy) {
  const { seconds, seed } = values;
  const stress = ['packages/cli/dist/main.js', 'stress', '--duration', `${seconds}s`, '--seed', seed, '--json'];
  const result = run(copy, ['node', ...stress], Number(seconds) + 60);
  return result.status === 0 ? undefined : `exit ${result.status}, ${findingOf(result).slice(0, 200)}`;
}

/** Runs `fn` with the mutant in the copy, built. */
function withMutant(copy, mutant, fn) {
  const file = join(copy, mutant.file);
  const text = readFileSync(file, 'utf8');
  if (text.split(mutant.find).length !== 2)
    throw new Error(`${mutant.name}: the text to change must stand exactly once in ${mutant.file}`);
  writeFileSync(
    file,
    text.replace(mutant.find, () => mutant.replace),
  );
  const project = set.package === undefined ? [] : [`packages/${set.package}/tsconfig.lib.json`];
  const build = run(copy, ['npx', 'tsc', '-b', ...project], 300);
  if (build.status !== 0) throw new Error(`${mutant.name} does not build:\n${build.output.slice(0, 2000)}`);
  fn();
  writeFileSync(file, text);
}

let missed = 0;
const report = (check, found) => {
  if (found === undefined) missed++;
  console.log(found === undefined ? `  ${check}: MISSED` : `  ${check}: caught (${found})`);
};

/** Notes what caught a mutant of a package; once there is a note on every one, the page shows them. */
function keep(name, caughtBy) {
  const file = join(root, `tools/.results/${values.set}-mutants.json`);
  mkdirSync(join(root, 'tools/.results'), { recursive: true });
  const notes = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
  notes[name] = caughtBy;
  writeFileSync(file, JSON.stringify(notes, undefined, 2));
  if (all.every((mutant) => Object.hasOwn(notes, mutant.name)))
    writeFileSync(`${root}${set.page}`, renderPage(values.set, set.package, all, notes));
}

const copy = scratchCopy();
try {
  for (const mutant of chosen) {
    withMutant(copy, mutant, () => {
      console.log(`${mutant.name}: ${mutant.what}`);
      if (!values['no-test']) {
        const found = testMutant(copy, mutant);
        report('tests', found);
        if (set.page !== undefined) keep(mutant.name, found ?? null);
      }
      if (!values['no-stress'] && set.package === undefined) report('stress', stressMutant(copy));
    });
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
console.log(`${chosen.length} mutants, ${missed} checks missed`);
process.exit(missed === 0 ? 0 : 1);
