import type { P2pExplanation } from '@dmabuf-emu/pci-iommu';
import type { Style } from '@dmabuf-emu/stress';
import { type Cell, columns } from '../../terminal/columns.ts';
import type { MachineView, P2pTable } from '../machine-view.ts';
import { wrapped } from '../printable.ts';
import { cellText, MEANING, SHORT } from './cell-text.ts';
import { foldedTwins, singles, type Twins } from './twins.ts';

const GAP = 2;

/** More devices than that are put together where they have the same answers. */
const FEW_DEVICES = 16;

/**
 * Who reaches whose memory: a row for each owner of memory, a column for each that reads and writes it. Wide ones are cut in
 * blocks of columns; of many devices, those with the same answers share a row.
 *
 * @param all - every device has a row of its own
 * @param width - of the terminal
 */
export function matrixText(
  view: MachineView,
  table: P2pTable,
  all: boolean,
  width: number,
  style: Style,
): readonly string[] {
  const lines = all || table.devices.length <= FEW_DEVICES ? singles(table) : foldedTwins(table);
  const cells = lines.map(({ sample: [row] }) =>
    lines.map(({ sample: [column, twin] }): Cell => {
      if (column === row && twin === row) return { text: '.', paint: style.dim };
      const answer = table.at(row, column === row ? twin : column);
      return { text: cellText(answer), paint: paintOf(answer, style) };
    }),
  );
  const head = lines.map(({ label }): Cell => ({ text: label, paint: style.bold }));
  const columnWidth = Math.max(...[head, ...cells].flat().map(({ text }) => text.length));
  const stub = Math.max(...head.map(({ text }) => text.length));
  const each = Math.max(1, Math.floor((width - stub) / (columnWidth + GAP)));
  const pad = (cell: Cell): Cell => ({ ...cell, text: cell.text.padStart(columnWidth) });
  const blocks = Array.from({ length: Math.ceil(lines.length / each) }, (_, block) => {
    const cut = (row: readonly Cell[]): readonly Cell[] => row.slice(block * each, (block + 1) * each).map(pad);
    const rows = [[{ text: '' }, ...cut(head)], ...cells.map((row, i) => [head[i]!, ...cut(row)])];
    return [...(block === 0 ? [] : ['']), ...columns(rows, 'l'.repeat(each + 1))];
  });
  return [...blocks.flat(), '', ...legend(table, width, style), ...deviceLegend(view, lines, style)];
}

/** How an answer is painted. */
export function paintOf({ type }: P2pExplanation, style: Style): (text: string) => string {
  switch (type) {
    case 'BUS_ADDR':
      return style.good;
    case 'THRU_HOST_BRIDGE':
      return style.bold;
    case 'NOT_SUPPORTED':
      return style.bad;
    case 'UNKNOWN':
      return style.warn;
  }
}

function legend(table: P2pTable, width: number, style: Style): readonly string[] {
  const used = new Set(Array.from(table.pairs(), ({ answer }) => answer.type));
  const words = (Object.keys(SHORT) as P2pExplanation['type'][]).filter((type) => used.has(type));
  const text = words.map((type) => `${SHORT[type]} ${MEANING[type]}`).join(', ');
  const line = `row: whose memory; column: who reaches it; ${text}; the number counts hops`;
  return [...wrapped(line, width, '  ').map((part) => style.dim(part)), ''];
}

function deviceLegend(view: MachineView, lines: readonly Twins[], style: Style): readonly string[] {
  const rows = lines.map(({ label, devices }) => {
    const names = new Set(devices.map(({ fn }) => view.names.of(fn)));
    const [first, last] = [devices[0]!.fn.bdf, devices.at(-1)!.fn.bdf];
    const count = devices.length === 1 ? '' : `${devices.length} x `;
    return [
      { text: label, paint: style.bold },
      { text: first === last ? first : `${first} .. ${last}` },
      { text: count + [...names][0]! + (names.size === 1 ? '' : ' and others') },
    ];
  });
  return columns(rows, 'lll');
}
