/** A cell of a table: its text, and how it is painted once it is as wide as its column. */
export interface Cell {
  readonly text: string;
  readonly paint?: (text: string) => string;
}

/** Columns side by side, two spaces apart; `align` has `l` or `r` for each. */
export function columns(rows: readonly (readonly Cell[])[], align: string): readonly string[] {
  const widths = Array.from(align, (_, i) => Math.max(0, ...rows.map((cells) => cells[i]?.text.length ?? 0)));
  return rows.map((cells) => {
    let last = cells.length - 1;
    while (last > 0 && cells[last]!.text === '') last--;
    return cells
      .slice(0, last + 1)
      .map(({ text, paint }, i) => {
        const gap = ' '.repeat(widths[i]! - text.length);
        const painted = paint === undefined || text === '' ? text : paint(text);
        return align[i] === 'r' ? gap + painted : i === last ? painted : painted + gap;
      })
      .join('  ');
  });
}
