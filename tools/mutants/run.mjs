// Breaks the code on purpose, one change at a time, in a scratch copy, and checks that tests and a stress run notice.
//
//   node tools/mutants/run.mjs [--only NAME,NAME] [--seed N] [--seconds N] [--no-test] [--no-stress]
//
// Exit 0 when every mutant was caught by each check that ran.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { MUTANTS } from './mutants.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '10' },
    'no-test': { type: 'boolean', default: false },
    'no-stress': { type: 'boolean', default: false },
  },
});
const chosen = MUTANTS.filter((m) => values.only === undefined || values.only.split(',').includes(m.name));
if (chosen.length === 0) throw new Error(`no mutant of that name; there are: ${MUTANTS.map((m) => m.name).join(', ')}`);

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
  return /(?:FAIL|×|✗) +(.*)/.exec(output)?.[1]?.trim() ?? output.trim().split('\n').at(-1);
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

let missed = 0;
for (const mutant of chosen) {
  const copy = scratchCopy();
  try {
    const file = join(copy, mutant.file);
    const text = readFileSync(file, 'utf8');
    if (text.split(mutant.find).length !== 2)
      throw new Error(`${mutant.name}: the text to change must stand exactly once in ${mutant.file}`);
    writeFileSync(
      file,
      text.replace(mutant.find, () => mutant.replace),
    );
    const build = run(copy, ['npx', 'tsc', '-b'], 300);
    if (build.status !== 0) throw new Error(`${mutant.name} does not build:\n${build.output.slice(0, 2000)}`);
    console.log(`${mutant.name}: ${mutant.what}`);
    if (!values['no-test']) {
      const { status, output } = run(
        copy,
        ['npx', 'vitest', 'run', '--bail', '1', ...mutant.projects.flatMap((p) => ['--project', p])],
        600,
      );
      if (status === 0) missed++;
      console.log(status === 0 ? '  tests: MISSED' : `  tests: caught (${firstFailure(output)})`);
    }
    if (!values['no-stress']) {
      const command = [
        'node',
        'packages/cli/dist/main.js',
        'stress',
        '--duration',
        `${values.seconds}s`,
        '--seed',
        values.seed,
        '--json',
      ];
      const result = run(copy, command, Number(values.seconds) + 60);
      if (result.status === 0) missed++;
      const finding = findingOf(result).slice(0, 200);
      console.log(result.status === 0 ? '  stress: MISSED' : `  stress: caught, exit ${result.status} (${finding})`);
    }
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}
console.log(`${chosen.length} mutants, ${missed} checks missed`);
process.exit(missed === 0 ? 0 : 1);
