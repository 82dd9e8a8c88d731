// Tables for people.

/** Three significant figures, whatever the size. */
export function figure(x) {
  if (x === null || x === undefined || !Number.isFinite(x)) return '-';
  const size = Math.abs(x);
  if (size === 0) return '0';
  if (size >= 1e6) return `${(x / 1e6).toFixed(2)}M`;
  if (size >= 1e5) return `${(x / 1e3).toFixed(0)}k`;
  if (size >= 100) return x.toFixed(0);
  if (size >= 10) return x.toFixed(1);
  return size >= 1 ? x.toFixed(2) : x.toPrecision(2);
}

export const limitText = (v) => (v.atMost === undefined ? `>= ${v.atLeast}x` : `<= ${v.atMost}x`);

/** Cells padded so that the text reads well in a terminal and as Markdown. */
export function alignedTable(header, rows) {
  const all = [header, ...rows];
  const widths = header.map((_, i) => Math.max(3, ...all.map((r) => r[i].length)));
  const line = (cells) =>
    `| ${cells.map((c, i) => (i === 0 ? c.padEnd(widths[i]) : c.padStart(widths[i]))).join(' | ')} |`;
  const rule = `| ${widths.map((w, i) => (i === 0 ? '-'.repeat(w) : `${'-'.repeat(w - 1)}:`)).join(' | ')} |`;
  return [line(header), rule, ...rows.map(line)].join('\n');
}

/** One measured table with its verdicts. */
export function describeTable(table) {
  const metrics = [...new Set(table.rows.flatMap((r) => Object.keys(r.metrics)))];
  const cell = (m) => {
    if (m === undefined) return '';
    const range = m.min === m.max ? figure(m.median) : `${figure(m.median)} [${figure(m.min)}..${figure(m.max)}]`;
    return m.ratio === null ? range : `${range} x${figure(m.ratio)}`;
  };
  const rows = table.rows.map((r) => [r.name, ...metrics.map((m) => cell(r.metrics[m]))]);
  const load =
    table.foreign === null
      ? 'unknown'
      : `median ${table.foreign.median.toFixed(2)}, worst ${table.foreign.worst.toFixed(2)} cores`;
  const ratio = !table.rows.some((r) => r.name === table.reference)
    ? ''
    : `; xN = median of per-round ratios to "${table.reference}"`;
  return [
    `\n### ${table.goals.join(', ') || table.id}: ${table.title}${table.unit ? ` (${table.unit})` : ''}`,
    `${table.rounds} ${table.rounds === 1 ? 'round' : 'rounds'}, median [min..max]${ratio}; foreign load: ${load}\n`,
    ...(rows.length > 0 ? [alignedTable(['case', ...metrics], rows)] : []),
    ...table.leftOut.map((l) => `left out: ${l.name} - ${l.reason}`),
    ...table.verdicts.map((v) => `${v.outcome.toUpperCase().padEnd(8)} ${v.goal} ${v.label}: ${describeRatio(v)}`),
  ].join('\n');
}

function describeRatio(v) {
  const ratio = v.ratio === null ? '' : `${figure(v.ratio)}x, `;
  return `${ratio}goal ${limitText(v)}${v.reason ? ` (${v.reason})` : ''}`;
}
