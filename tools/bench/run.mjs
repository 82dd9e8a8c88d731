// Measures the packages against the physical limits and says which goals are met.
//
//   node tools/bench/run.mjs [--package shm] [--only P12,P13] [--rounds 5] [--quick] [--naive]
//                            [--json FILE] [--check] [--list]
//
// --package  shm, core, pci-iommu, stress or cli: the tables of one package
// --only     goals (P12) or tables (attach-cycle), separated by commas
// --rounds   rounds of a table; below 5 a verdict is only indicative
// --quick    2 rounds of a tenth of the iterations: does everything still run?
// --naive    also the designs that look natural and are slow
// --json     where the figures go (default: .build/last.json); readme-table.mjs reads them
// --check    exit with 1 when a goal is missed (a case that breaks always exits with 1)
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { FULL_ROUNDS, runTable } from './harness.mjs';
import { BUILD, findCompiler } from './lib/native.mjs';
import { describeTable } from './lib/report.mjs';

const PACKAGES = ['shm', 'core', 'pci-iommu', 'stress', 'cli'];

function usage(message) {
  process.stderr.write(
    `${message}\nusage: node tools/bench/run.mjs [--package ${PACKAGES.join('|')}] [--only P12,P13] [--rounds N] [--quick] [--naive] [--json FILE] [--check] [--list]\n`,
  );
  process.exit(2);
}

function readOptions() {
  const string = { type: 'string' };
  const flag = { type: 'boolean', default: false };
  try {
    const { values } = parseArgs({
      options: {
        package: string,
        only: string,
        rounds: string,
        json: string,
        quick: flag,
        naive: flag,
        check: flag,
        list: flag,
      },
    });
    return values;
  } catch (error) {
    return usage(error.message);
  }
}

async function loadTables() {
  const folder = fileURLToPath(new URL('cases/', import.meta.url));
  const files = readdirSync(folder)
    .filter((f) => f.endsWith('.mjs'))
    .toSorted();
  const modules = await Promise.all(files.map((f) => import(new URL(`cases/${f}`, import.meta.url).href)));
  return modules.flatMap((m) => m.tables);
}

function select(tables, options) {
  if (options.package !== undefined && !PACKAGES.includes(options.package)) {
    usage(`--package ${options.package}: no such package; one of ${PACKAGES.join(', ')}`);
  }
  const wanted = options.only
    ?.split(',')
    .map((w) => w.trim())
    .filter(Boolean);
  const known = new Set(tables.flatMap((t) => [t.id, ...t.goals]));
  const unknown = wanted?.find((w) => !known.has(w));
  if (unknown !== undefined) usage(`--only ${unknown}: no such goal or table; one of ${[...known].join(', ')}`);
  return tables
    .filter((t) => options.package === undefined || t.package === options.package)
    .filter((t) => wanted === undefined || wanted.some((w) => w === t.id || t.goals.includes(w)));
}

function describeMachine() {
  return {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    system: `${os.type()} ${os.release().split('.').slice(0, 2).join('.')} ${os.arch()}`,
    node: process.version,
    compiler: findCompiler()?.version ?? null,
  };
}

function positiveInteger(text, flagName) {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1) usage(`${flagName} ${text}: must be an integer of at least 1`);
  return n;
}

const options = readOptions();
const tables = select(await loadTables(), options);
if (options.list) {
  for (const t of tables)
    process.stdout.write(`${t.package.padEnd(10)} ${t.id.padEnd(20)} ${t.goals.join(',').padEnd(8)} ${t.title}\n`);
  process.exit(0);
}
const rounds =
  options.rounds === undefined ? (options.quick ? 2 : FULL_ROUNDS) : positiveInteger(options.rounds, '--rounds');
const machine = describeMachine();
process.stdout.write(
  `${machine.cpu}, ${machine.cores} cores, ${machine.system}, node ${machine.node}, ${machine.compiler ?? 'no C compiler: native references are left out'}\n`,
);

const progress = process.stderr.isTTY ? (text) => process.stderr.write(`\r\x1b[K${text}`) : undefined;
const results = [];
for (const table of tables) {
  const result = runTable(table, { rounds, scale: options.quick ? 0.1 : 1, naive: options.naive, progress });
  results.push(result);
  progress?.('');
  process.stdout.write(`${describeTable(result)}\n`);
}

const file = path.resolve(options.json ?? path.join(BUILD, 'last.json'));
mkdirSync(path.dirname(file), { recursive: true });
const document = {
  schema: 1,
  date: new Date().toISOString().slice(0, 10),
  machine,
  quick: options.quick,
  rounds,
  tables: results,
};
writeFileSync(file, `${JSON.stringify(document, null, 2)}\n`);

const verdicts = results.flatMap((r) => r.verdicts);
const count = (outcome) => verdicts.filter((v) => v.outcome.endsWith(outcome)).length;
process.stdout.write(
  `\n${count('met')} met, ${count('missed')} missed, ${count('skipped')} without a verdict${rounds < FULL_ROUNDS ? ` (indicative: ${rounds} rounds)` : ''}\n`,
);
const broken = results.flatMap((r) => r.leftOut.filter((l) => l.failed));
process.exit(broken.length > 0 || (options.check && count('missed') > 0) ? 1 : 0);
