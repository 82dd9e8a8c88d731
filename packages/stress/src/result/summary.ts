import { formatBytes, formatCount, formatDuration, formatNs } from './quantities.ts';
import type { LatencyResult, StressResult } from './stress-result.ts';

/** Paints text; the default leaves it as it is. */
export interface Style {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly warn: (text: string) => string;
}

const same = (text: string): string => text;
export const PLAIN: Style = { bold: same, dim: same, good: same, bad: same, warn: same };

const MARGIN = 12;
const MAX_LISTED = 12;

/** The result of a run as a page for people. */
export function formatSummary(result: StressResult, style: Style = PLAIN): string {
  const row = (title: string, ...lines: string[]): string[] =>
    lines.map((line, i) => style.bold((i === 0 ? title : '').padEnd(MARGIN)) + line);
  return [
    '',
    headline(result, style),
    '',
    ...row('machine', `${result.machine}, kernel ${result.kernel}`),
    ...(result.notes.length > 0 ? row('notes', ...more(result.notes.slice(0, MAX_LISTED), result.notes.length)) : []),
    ...row('ran', ranText(result)),
    ...row('exporters', ...exporterLines(result)),
    ...row('importers', ...importerLines(result, style)),
    ...row('throughput', throughputText(result)),
    ...row('latency', ...latencyLines(result, style)),
    ...row('IOTLB', iotlbText(result)),
    ...row('faults', ...faultLines(result)),
    ...row('refusals', ...refusalLines(result)),
    ...(result.casualties.length > 0 ? row('casualties', ...casualtyLines(result)) : []),
    ...row('leaks', ...leakLines(result, style)),
    ...row('violations', ...violationLines(result, style)),
    ...row('verify', ...verifyLines(result, style)),
    ...(result.hangs.length > 0 ? row('hang', ...hangLines(result, style)) : []),
    ...row('repro', result.repro),
    '',
  ].join('\n');
}

function headline(result: StressResult, style: Style): string {
  const title = style.bold(`dmabuf-emu stress: ${result.scenario}, seed ${result.seed}`);
  switch (result.exitCode) {
    case 0:
      return `${title}  ${style.good('CLEAN')}`;
    case 3:
      return `${title}  ${style.bad('HANG')}`;
    case 1:
    case 2:
      return `${title}  ${style.bad('VIOLATION')}`;
  }
}

function ranText({ durationMs, exporters, importers, threads }: StressResult): string {
  const buffers = exporters.reduce((sum, exporter) => sum + exporter.buffers, 0);
  const starts = importers.reduce((sum, importer) => sum + importer.starts, 0);
  const again = starts > importers.length ? ` (started ${starts} times)` : '';
  return `${formatDuration(durationMs)}, ${plural(exporters.length, 'exporter')} with ${plural(buffers, 'buffer')}, ${plural(threads, 'importer thread')}${again}`;
}

function exporterLines({ exporters }: StressResult): string[] {
  return table(
    exporters.map(({ kind, bdf, triggers }) => [
      kind,
      bdf ?? 'system memory',
      Object.entries(triggers)
        .map(([name, n]) => `${name} ${formatCount(n)}`)
        .join(', '),
    ]),
    'lll',
  );
}

function importerLines({ importers }: StressResult, style: Style): string[] {
  const rows = importers.map((importer) => [
    importer.rogue === undefined ? importer.name : `${importer.name} (${importer.rogue})`,
    importer.bdf,
    formatCount(importer.steps),
    formatCount(importer.maps),
    formatCount(importer.revoked),
    formatBytes(importer.bytesWritten),
    formatBytes(importer.bytesRead),
  ]);
  const [head, ...rest] = table(
    [['name', 'function', 'steps', 'maps', 'revoked', 'written', 'read'], ...rows],
    'llrrrrr',
  );
  return [style.dim(head!), ...rest];
}

function throughputText({ ops, bytes, durationMs }: StressResult): string {
  const seconds = Math.max(durationMs, 1) / 1000;
  const per = (n: number | undefined): string => formatCount((n ?? 0) / seconds);
  return `${per(ops['total'])} steps/s, ${formatBytes(bytes / seconds)}/s by DMA, ${per(ops['map'])} maps/s, ${per(ops['revoke'])} revokes/s`;
}

function latencyLines({ latencyNs }: StressResult, style: Style): string[] {
  const line = (name: string, { count, p50, p99, max }: LatencyResult): string[] =>
    count === 0 ? [name, '-', '-', '-', '0'] : [name, formatNs(p50), formatNs(p99), formatNs(max), formatCount(count)];
  const [head, ...rest] = table(
    [
      ['', 'p50', 'p99', 'max', 'samples'],
      line('revoke', latencyNs.revoke),
      line('map', latencyNs.map),
      line('fence wake', latencyNs.fenceWake),
    ],
    'lrrrr',
  );
  return [style.dim(head!), ...rest];
}

function iotlbText({ iotlb: { hits, misses } }: StressResult): string {
  const all = hits + misses;
  if (all === 0) return 'not used';
  return `${((100 * hits) / all).toFixed(1)} % hits of ${formatCount(all)} look-ups`;
}

function faultLines({ faults, violations }: StressResult): string[] {
  const entries = Object.entries(faults);
  if (entries.length === 0) return ['none'];
  return entries.map(([kind, n]) => {
    const why =
      kind === 'iommu-fault'
        ? ' (contained accesses of iommufd importers to revoked memory)'
        : kind.startsWith('aer-') && !violations.some(({ rule }) => rule === kind)
          ? ' (memory switched off under buffers that were lost with a killed thread)'
          : kind === 'allocation'
            ? ' (made to fail)'
            : '';
    return `${kind} ${formatCount(n)}${why}`;
  });
}

function refusalLines({ refusals }: StressResult): string[] {
  if (refusals.length === 0) return ['none'];
  return table(
    refusals.map(({ exporter, importer, errno, step, count }) => [
      `${exporter} refused ${importer}`,
      errno,
      step,
      `${formatCount(count)} x`,
    ]),
    'lllr',
  );
}

function casualtyLines({ casualties }: StressResult): string[] {
  const lines = casualties.slice(0, MAX_LISTED).map(({ name, task, atMs, doing, lostLocks }) => {
    const locks = lostLocks.length === 0 ? '' : `, took ${lostLocks.join(', ')} to its grave`;
    return `${name} (task ${task}) at ${formatDuration(atMs)}: ${doing}${locks}`;
  });
  return more(lines, casualties.length);
}

function leakLines({ leaks }: StressResult, style: Style): string[] {
  const entries = Object.entries(leaks);
  if (entries.length === 0) return [style.good('none')];
  return [style.bad(entries.map(([kind, n]) => `${kind} ${formatCount(n)}`).join(', '))];
}

function violationLines({ violations }: StressResult, style: Style): string[] {
  if (violations.length === 0) return [style.good('none')];
  const lines = violations.slice(0, MAX_LISTED).flatMap(({ rule, text, importer, buffer, step, count }) => {
    const where = [
      importer === undefined ? '' : `importer ${importer}`,
      buffer === undefined ? '' : `buffer ${buffer}`,
      step === undefined ? '' : `step ${step}`,
    ].filter((part) => part !== '');
    return [`${style.bad(rule)}${count > 1 ? ` (${formatCount(count)} x)` : ''}: ${where.join(', ')}`, `  ${text}`];
  });
  return violations.length > MAX_LISTED ? [...lines, `and ${violations.length - MAX_LISTED} more`] : lines;
}

function verifyLines({ verify }: StressResult, style: Style): string[] {
  const objects = Object.values(verify.counts).reduce((sum, n) => sum + n, 0);
  const lines = [verify.ok ? style.good('ok') + `, ${formatCount(objects)} objects looked at` : style.bad('failed')];
  for (const error of verify.errors.slice(0, MAX_LISTED)) lines.push(style.bad(`error: ${error}`));
  for (const leak of verify.leaks.slice(0, MAX_LISTED)) lines.push(style.bad(`leak: ${leak}`));
  const damage = verify.damage.slice(0, MAX_LISTED).map((text) => style.warn(`damage: ${text}`));
  return [...lines, ...more(damage, verify.damage.length)];
}

function hangLines({ hangs }: StressResult, style: Style): string[] {
  return hangs.map(
    ({ role, task, stalledMs, doing, waitingFor, heldBy }) =>
      `${style.bad(role)} (task ${task}) without progress for ${formatDuration(stalledMs)}: ${doing}; waits for ${waitingFor}${heldBy === '' ? '' : `, held by ${heldBy}`}`,
  );
}

function more(lines: readonly string[], all: number): string[] {
  return all > lines.length ? [...lines, `and ${all - lines.length} more`] : [...lines];
}

function plural(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}

/** Columns side by side; `align` has `l` or `r` for each. */
function table(rows: readonly (readonly string[])[], align: string): string[] {
  const widths = Array.from(align, (_, i) => Math.max(0, ...rows.map((cells) => cells[i]?.length ?? 0)));
  return rows.map((cells) =>
    cells
      .map((cell, i) => (align[i] === 'r' ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd(),
  );
}
