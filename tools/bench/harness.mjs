// Runs the cases of a table as fresh processes, interleaved (A B C A B C ...), and compares them round by round.
//
// Slow drift of a shared machine then hits all cases of a round alike; the figure to trust is the median of the
// per-round ratios, not the absolute time.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { foreignCores, sampleLoad } from './lib/load.mjs';
import { buildNative } from './lib/native.mjs';
import { NOT_WIRED_EXIT } from './lib/not-wired.mjs';
import { median } from './lib/stats.mjs';

export const FULL_ROUNDS = 5;
/** Above this much foreign load a p99 of two threads says more about the machine than about the code. */
export const QUIET_CORES = 0.2;
const CASE_TIME_LIMIT_MS = 180_000;
/** Holds a process on one core (util-linux). */
const TASKSET = 'taskset';
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const CHILD = fileURLToPath(new URL('lib/child.mjs', import.meta.url));

/**
 * Runs one table.
 * @param {import('./lib/define.mjs').Table} table
 * @param {{ rounds: number, scale: number, naive: boolean, progress?: (text: string) => void }} options
 */
export function runTable(table, options) {
  const rounds = options.rounds >= FULL_ROUNDS ? Math.max(options.rounds, table.minRounds ?? 0) : options.rounds;
  const leftOut = [];
  const rows = [];
  for (const c of table.cases) {
    if (c.naive && !options.naive) continue;
    const command = commandOf(c);
    if (command.reason) leftOut.push({ name: c.name, side: c.side, reason: command.reason });
    else rows.push({ case: c, command: command.command, samples: [], loads: [] });
  }
  for (let round = 0; round < rounds; round++) {
    for (const row of rows) {
      if (row.stopped) continue;
      options.progress?.(`${table.id}: round ${round + 1} of ${rounds}, ${row.case.name}`);
      runOnce(row, options.scale);
    }
  }
  for (const row of rows) {
    if (row.stopped)
      leftOut.push({
        name: row.case.name,
        side: row.case.side,
        reason: row.stopped.reason,
        failed: row.stopped.failed,
      });
  }
  return summarise(
    table,
    rows.filter((r) => !r.stopped),
    leftOut,
    rounds,
  );
}

function commandOf(c) {
  let command;
  if (c.side === 'native') {
    const program = buildNative(c.program);
    if (program.reason) return program;
    command = [program.file, ...c.args];
  } else {
    command = [process.execPath, ...(c.nodeArgs ?? []), CHILD, c.module, c.export, JSON.stringify(c.args)];
  }
  return c.oneCore ? onOneCore(command) : { command };
}

function onOneCore(command) {
  if (spawnSync(TASKSET, ['--version']).status !== 0) return { reason: 'needs taskset to hold it on one core' };
  const allowed = /Cpus_allowed_list:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'));
  return { command: [TASKSET, '-c', allowed?.[1] ?? '0', ...command] };
}

function runOnce(row, scale) {
  const before = sampleLoad();
  const env = { ...process.env, BENCH_SCALE: String(scale) };
  const result = spawnSync(row.command[0], row.command.slice(1), {
    encoding: 'utf8',
    env,
    timeout: CASE_TIME_LIMIT_MS,
  });
  row.loads.push(foreignCores(before, sampleLoad()));
  if (result.status === 0) {
    row.samples.push(JSON.parse(result.stdout.trim().split('\n').at(-1)));
  } else if (result.status === NOT_WIRED_EXIT) {
    row.stopped = { reason: `not wired: ${withoutPaths(result.stderr)}`, failed: false };
  } else {
    const why = result.error?.code === 'ETIMEDOUT' ? 'time limit' : `exit ${result.status ?? result.signal}`;
    row.stopped = { reason: `failed (${why}): ${withoutPaths(result.stderr ?? '').slice(0, 2000)}`, failed: true };
  }
}

/** Results are published: no paths of this machine. */
const withoutPaths = (text) => text.trim().replaceAll(`file://${ROOT}`, '').replaceAll(ROOT, '');

function summarise(table, rows, leftOut, rounds) {
  const reference = rows.find((r) => r.case.name === table.reference);
  const loads = rows.flatMap((r) => r.loads).filter((l) => l !== null);
  const foreign = loads.length === 0 ? null : { median: median(loads), worst: Math.max(...loads) };
  return {
    id: table.id,
    title: table.title,
    package: table.package,
    goals: table.goals,
    unit: table.unit ?? '',
    threads: table.threads,
    reference: table.reference ?? null,
    rounds,
    foreign,
    rows: rows.map((row) => ({ name: row.case.name, side: row.case.side, metrics: metricsOf(row, reference) })),
    leftOut,
    verdicts: table.verdicts.map((v) => judge(v, table, rows, leftOut, rounds)),
  };
}

function metricsOf(row, reference) {
  const names = [...new Set(row.samples.flatMap((s) => Object.keys(s)))];
  return Object.fromEntries(
    names.map((name) => {
      const values = row.samples.map((s) => s[name]).filter(Number.isFinite);
      const ratio = reference && reference !== row ? ratioOf(row, name, reference, name) : null;
      return [name, { median: median(values), min: Math.min(...values), max: Math.max(...values), ratio }];
    }),
  );
}

/** Median of the per-round ratios, or null when the two have no round in common. */
function ratioOf(row, metric, reference, referenceMetric) {
  const ratios = row.samples
    .map((s, round) => s[metric] / reference.samples[round]?.[referenceMetric])
    .filter(Number.isFinite);
  return ratios.length === 0 ? null : median(ratios);
}

/** `outcome`: met, missed, skipped (with the reason) or indicative-met / indicative-missed (fewer rounds than a verdict needs). */
function judge(verdict, table, rows, leftOut, rounds) {
  const [oursName, oursMetric] = verdict.ours;
  const [referenceName, referenceMetric] = verdict.reference;
  const limit = verdict.atMost === undefined ? { atLeast: verdict.atLeast } : { atMost: verdict.atMost };
  const base = {
    goal: verdict.goal,
    label: verdict.label,
    metric: oursMetric,
    ...limit,
    ours: null,
    reference: null,
    ratio: null,
  };
  const sides = [oursName, referenceName].map((name) => rows.find((r) => r.case.name === name));
  const missing = [oursName, referenceName].find((_, i) => sides[i] === undefined);
  if (missing !== undefined) {
    const reason = leftOut.find((l) => l.name === missing)?.reason ?? 'not run';
    return { ...base, outcome: 'skipped', reason: `${missing}: ${reason.split('\n')[0]}` };
  }
  const [ours, reference] = sides;
  const ratio = ratioOf(ours, oursMetric, reference, referenceMetric);
  const measured = {
    ...base,
    ours: median(ours.samples.map((s) => s[oursMetric])),
    reference: median(reference.samples.map((s) => s[referenceMetric])),
    referenceName,
    ratio,
  };
  if (ratio === null) return { ...measured, outcome: 'skipped', reason: `no figure for ${oursMetric}` };
  const loads = [...ours.loads, ...reference.loads].filter((l) => l !== null);
  const load = loads.length === 0 ? null : median(loads);
  if (verdict.p99OfTwoThreads && (load === null || load > QUIET_CORES)) {
    const known = load === null ? 'unknown' : `${load.toFixed(2)} cores of`;
    return {
      ...measured,
      outcome: 'skipped',
      reason: `two-thread p99 with ${known} foreign load, limit ${QUIET_CORES}`,
    };
  }
  const met = verdict.atMost === undefined ? ratio >= verdict.atLeast : ratio <= verdict.atMost;
  const prefix = rounds < FULL_ROUNDS ? 'indicative-' : '';
  const outcome = `${prefix}${met ? 'met' : 'missed'}`;
  const disturbed = table.threads > 1 && load > QUIET_CORES;
  return disturbed
    ? { ...measured, outcome, reason: `two threads with ${load.toFixed(2)} cores of foreign load` }
    : { ...measured, outcome };
}
