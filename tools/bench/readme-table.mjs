// Writes the measured goals into README.md, between <!-- bench:begin --> and <!-- bench:end -->.
//
//   node tools/bench/readme-table.mjs [--readme FILE] [--check] [RESULTS.json ...]
//
// Results come from `run.mjs --json FILE` (default: .build/last.json). With several files, later ones win table by table.
// --check  changes nothing; exits with 1 when the table in the README is not the one of these results
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { BUILD } from './lib/native.mjs';
import { alignedTable, figure, limitText } from './lib/report.mjs';
import { REASONS } from './reasons.mjs';

const BEGIN = '<!-- bench:begin -->';
const END = '<!-- bench:end -->';
const README = fileURLToPath(new URL('../../README.md', import.meta.url));

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

function readResults(files) {
  const documents = files.map((file) => {
    try {
      return JSON.parse(readFileSync(file, 'utf8'));
    } catch (error) {
      return fail(`${file}: ${error.message}`);
    }
  });
  const tables = new Map(documents.flatMap((d) => d.tables.map((t) => [t.id, t])));
  return { ...documents.at(-1), tables: [...tables.values()] };
}

const goalNumber = (goal) => Number(goal.slice(1));

function goalRows(tables) {
  const verdicts = tables.flatMap((t) => t.verdicts.map((v) => ({ ...v, unit: unitOf(v.metric) })));
  return verdicts
    .filter((v) => v.ratio !== null)
    .toSorted((a, b) => goalNumber(a.goal) - goalNumber(b.goal))
    .map((v) => [
      `${v.goal} ${v.label}`,
      withUnit(v.ours, v.unit),
      `${withUnit(v.reference, v.unit)} (${v.referenceName})`,
      `${figure(v.ratio)}x`,
      limitText(v),
      outcomeText(v),
    ]);
}

/** The goals that are missed, each with what bounds it. */
function missedLines(tables) {
  const goals = new Set(
    tables
      .flatMap((t) => t.verdicts)
      .filter((v) => v.outcome.endsWith('missed'))
      .map((v) => v.goal),
  );
  const missed = [...goals].toSorted((a, b) => goalNumber(a) - goalNumber(b));
  const unexplained = missed.find((goal) => REASONS[goal] === undefined);
  if (unexplained !== undefined) fail(`${unexplained} is missed, and reasons.mjs does not say why`);
  return missed.map((goal) => `- ${goal}: ${REASONS[goal]}.`);
}

/** Figures that have no goal: a row for each case. */
function plainRows(tables) {
  return tables
    .filter((t) => t.verdicts.length === 0)
    .flatMap((t) => t.rows.map((r) => [`${t.title}: ${r.name}`, metricsText(r.metrics)]));
}

const UNITS = {
  us: 'us',
  ns: 'ns',
  ms: 'ms',
  GB_s: 'GB/s',
  MB_s: 'MB/s',
  Mops_s: 'M/s',
  Mcycles_s: 'M/s',
  kjobs_s: 'k jobs/s',
  kops_s: 'k ops/s',
  kcycles_s: 'k/s',
  bytes: 'B',
};

function unitOf(metric) {
  const key = Object.keys(UNITS).find((u) => metric === u || metric.endsWith(`_${u}`));
  return key === undefined ? '' : UNITS[key];
}

const withUnit = (value, unit) => `${figure(value)}${unit ? ` ${unit}` : ''}`;

function metricsText(metrics) {
  return Object.entries(metrics)
    .map(([name, m]) => {
      const unit = unitOf(name);
      const key = Object.keys(UNITS).find((u) => UNITS[u] === unit && name.endsWith(u)) ?? '';
      const label = name.slice(0, name.length - key.length).replace(/_$/, '');
      return `${label} ${withUnit(m.median, unit)}`.trim();
    })
    .join(', ');
}

function outcomeText(v) {
  if (v.outcome === 'skipped') return `- (${v.reason})`;
  const remarks = [v.outcome.startsWith('indicative-') ? 'indicative' : '', v.reason ? 'loaded machine' : ''].filter(
    Boolean,
  );
  return `${v.outcome.replace('indicative-', '')}${remarks.length > 0 ? ` (${remarks.join(', ')})` : ''}`;
}

function render({ machine, date, rounds, tables }) {
  const loads = tables.map((t) => t.foreign?.median).filter((l) => l !== undefined);
  const load = loads.length === 0 ? 'unknown' : `up to ${Math.max(...loads).toFixed(1)} cores`;
  const compiler =
    machine.compiler === null ? 'no C compiler: goals with a native reference are missing' : machine.compiler;
  const lines = [
    `Measured ${date} on ${machine.cpu}, ${machine.cores} cores, ${machine.system}, Node ${machine.node}, ${compiler}.`,
    `Medians of at least ${rounds} rounds; the ratio is the median of the per-round ratios; other work on the machine meanwhile: ${load}.`,
    '',
    alignedTable(['what', 'here', 'reference', 'ratio', 'goal', 'met?'], goalRows(tables)),
  ];
  const missed = missedLines(tables);
  if (missed.length > 0) lines.push('', 'Missed, and what bounds it:', '', ...missed);
  const plain = plainRows(tables);
  if (plain.length > 0) lines.push('', alignedTable(['what', 'here'], plain));
  return lines.join('\n');
}

const { values, positionals } = parseArgs({
  options: { readme: { type: 'string', default: README }, check: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const results = readResults(positionals.length > 0 ? positionals : [path.join(BUILD, 'last.json')]);
const text = readFileSync(values.readme, 'utf8');
const begin = text.indexOf(BEGIN);
const end = text.indexOf(END);
if (begin < 0 || end < begin) fail(`${values.readme}: needs a line ${BEGIN} and, below it, a line ${END}`);
const updated = `${text.slice(0, begin + BEGIN.length)}\n\n${render(results)}\n\n${text.slice(end)}`;
if (values.check) process.exit(updated === text ? 0 : 1);
writeFileSync(values.readme, updated);
