import type { P2pExplanation } from '@dmabuf-emu/pci-iommu';
import type { Style } from '@dmabuf-emu/stress';
import { type Cell, columns } from '../../terminal/columns.ts';
import type { MachineView, P2pTable } from '../machine-view.ts';

/** Answers in a cell of a table. */
export const SHORT: Readonly<Record<P2pExplanation['type'], string>> = {
  BUS_ADDR: 'BUS',
  THRU_HOST_BRIDGE: 'HB',
  NOT_SUPPORTED: '--',
  UNKNOWN: '??',
};
const GAP = 2;

/** `BUS 4`, `HB 6`, `-- 6`, `?? 4` */
export function cellText({ type, distance }: P2pExplanation): string {
  return `${SHORT[type]} ${distance}`;
}

/**
 * Who reaches whose memory: a row for each owner of memory, a column for each that reads and writes it. Wide ones are cut in
 * blocks of columns. @param width - of the terminal
 */
export function matrixText(view: MachineView, table: P2pTable, width: number, style: Style): readonly string[] {
  const { devices } = table;
  const cells = devices.map((_, row) =>
    devices.map((_device, column): Cell => {
      if (row === column) return { text: '.', paint: style.dim };
      const answer = table.at(row, column);
      return { text: cellText(answer), paint: paintOf(answer, style) };
    }),
  );
  const head = devices.map(({ label }): Cell => ({ text: label, paint: style.bold }));
  const columnWidth = Math.max(...head.map(({ text }) => text.length), ...cells.flat().map(({ text }) => text.length));
  const stub = Math.max(...devices.map(({ label }) => label.length));
  const each = Math.max(1, Math.floor((width - stub) / (columnWidth + GAP)));
  const lines: string[] = [];
  for (let from = 0; from < devices.length; from += each) {
    const pad = (cell: Cell): Cell => ({ ...cell, text: cell.text.padStart(columnWidth) });
    const rows = [
      [{ text: '' }, ...head.slice(from, from + each).map(pad)],
      ...devices.map((_, row) => [head[row]!, ...cells[row]!.slice(from, from + each).map(pad)]),
    ];
    lines.push(...(from === 0 ? [] : ['']), ...columns(rows, 'l'.repeat(each + 1)));
  }
  return [...lines, '', ...legend(table, style), ...deviceLegend(view, table, style)];
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

/** Answers in words. */
export const MEANING: Readonly<Record<P2pExplanation['type'], string>> = {
  BUS_ADDR: 'by bus address, below a common bridge',
  THRU_HOST_BRIDGE: 'through the host bridge',
  NOT_SUPPORTED: 'not supported',
  UNKNOWN: 'the source does not tell what decides',
};

function legend(table: P2pTable, style: Style): readonly string[] {
  const used = new Set(Array.from(table.pairs(), ({ answer }) => answer.type));
  const words = (Object.keys(SHORT) as P2pExplanation['type'][]).filter((type) => used.has(type));
  const text = words.map((type) => `${SHORT[type]} ${MEANING[type]}`).join(', ');
  return [style.dim(`row: whose memory; column: who reaches it; ${text}; the number counts hops`), ''];
}

function deviceLegend(view: MachineView, table: P2pTable, style: Style): readonly string[] {
  const rows = table.devices.map(({ fn, label }) => [
    { text: label, paint: style.bold },
    { text: fn.bdf },
    { text: view.names.of(fn) },
  ]);
  return columns(rows, 'lll');
}
