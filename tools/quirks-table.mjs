// Writes docs/quirks.md: every behaviour in which the kernels that can be emulated differ, from the tables of all packages.
//
//   node tools/quirks-table.mjs [--check]
//
// The packages must be built. --check changes nothing; exits with 1 when the file is not what would be written.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { KERNELS, QuirkTable } from '@dmabuf-emu/shm';

const root = fileURLToPath(new URL('..', import.meta.url));
const FILE = `${root}docs/quirks.md`;

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
const text = render(await collect());
if (!values.check) {
  writeFileSync(FILE, text);
} else if (!existsSync(FILE) || readFileSync(FILE, 'utf8') !== text) {
  process.stderr.write('docs/quirks.md is out of date: node tools/quirks-table.mjs\n');
  process.exitCode = 1;
}

/** Packages with quirks, by folder. */
async function collect() {
  const packages = [];
  for (const folder of readdirSync(`${root}packages`).toSorted()) {
    const entry = `${root}packages/${folder}/dist/index.js`;
    if (!existsSync(entry)) continue;
    const tables = Object.values(await import(pathToFileURL(entry))).filter((value) => value instanceof QuirkTable);
    const quirks = Object.fromEntries(tables.flatMap((table) => Object.entries(table.quirks)));
    if (tables.length > 0) packages.push({ folder, quirks });
  }
  return packages;
}

function render(packages) {
  const head = [
    '# Quirks',
    '',
    'Behaviours in which the kernels that can be emulated differ. A machine has those of its kernel (option `kernel`), and those',
    'that its option `quirks` names. Written by `node tools/quirks-table.mjs` from the tables of the packages.',
    '',
    `Kernels: ${KERNELS.join(', ')}; 7.1 is the default.`,
    '',
  ];
  const sections = packages.flatMap(({ folder, quirks }) => [
    `## ${folder}`,
    '',
    '| quirk | a machine with it | why | kernels |',
    '| --- | --- | --- | --- |',
    ...Object.entries(quirks).map(
      ([name, { what, why, kernels }]) =>
        `| \`${name}\` | ${cell(what)} | ${cell(why)} | ${kernels.join(', ') || 'none'} |`,
    ),
    '',
  ]);
  return [...head, ...sections].join('\n');
}

function cell(value) {
  return value.replaceAll('|', '\\|');
}
