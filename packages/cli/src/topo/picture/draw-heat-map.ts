import type { P2pExplanation } from '@dmabuf-emu/pci-iommu';
import type { MachineView, P2pTable } from '../machine-view.ts';
import { cellText, MEANING, SHORT } from '../text/cell-text.ts';
import { shortened } from '../printable.ts';
import { escapeMarkup } from './escape.ts';
import { LEGEND_HEIGHT } from './layout.ts';
import type { HeatMap } from './shapes.ts';

const LABEL_LENGTH = 8;
const LARGE = 40;
const LINE = 22;

/** The answers between all pairs of devices as a map: a row for each owner of memory, a column for each that reaches it. */
export function drawHeatMap(view: MachineView, table: P2pTable, map: HeatMap): string {
  const { x, y, devices, cells, cellWidth, cellHeight, originX, originY } = map;
  const large = cellWidth >= LARGE;
  const rows = devices.map(
    ({ label, fn }, i) =>
      `<text class="end strong${large ? '' : ' small'}" data-bdf="${fn.bdf}" x="${originX - 8}" y="${originY + (i + 0.5) * cellHeight + 4}">${name(label)}</text>`,
  );
  const columns = devices.map(({ label }, i) => {
    const cx = originX + (i + 0.5) * cellWidth;
    return large
      ? `<text class="middle strong" x="${cx}" y="${originY - 8}">${name(label)}</text>`
      : `<text class="strong small" transform="translate(${cx + 3} ${originY - 6}) rotate(-60)">${name(label)}</text>`;
  });
  const squares = cells.map((cell) => drawCell(table, cell, large));
  const bottom = y + map.height - LEGEND_HEIGHT;
  return [
    '<g class="map">',
    `<text class="faint" x="${x}" y="${y + 14}">row: whose memory, column: who reaches it</text>`,
    ...columns,
    ...rows,
    ...squares,
    ...drawLegend(x, bottom + LINE, table.devices.length - devices.length),
    '</g>',
  ].join('\n');
}

function name(label: string): string {
  return escapeMarkup(shortened(label, LABEL_LENGTH));
}

function drawCell(table: P2pTable, cell: HeatMap['cells'][number], large: boolean): string {
  const { row, column, x, y, width, height } = cell;
  const rect = (style: string): string =>
    `<rect class="${style}" x="${x + 1}" y="${y + 1}" width="${width - 2}" height="${height - 2}" rx="3"/>`;
  if (row === column) return rect('self');
  const from = table.devices[row]!;
  const to = table.devices[column]!;
  const answer = table.at(row, column);
  const text = large ? cellText(answer) : String(answer.distance);
  const said = `${to.label} reaches the memory of ${from.label}: ${answer.type}, ${answer.distance} hops: ${answer.because}`;
  return (
    `<g data-from="${from.fn.bdf}" data-to="${to.fn.bdf}"><title>${escapeMarkup(said)}</title>${rect(answer.type)}` +
    `<text class="middle on-cell${large ? '' : ' small'}" x="${x + width / 2}" y="${y + height / 2 + 4}">${text}</text></g>`
  );
}

function drawLegend(x: number, y: number, left: number): readonly string[] {
  const types = Object.keys(SHORT) as P2pExplanation['type'][];
  return [
    ...types.map(
      (type, i) =>
        `<rect class="${type}" x="${x}" y="${y + i * LINE - 11}" width="14" height="14" rx="3"/>` +
        `<text x="${x + 22}" y="${y + i * LINE}">${SHORT[type]}  ${MEANING[type]}</text>`,
    ),
    ...[
      '↑R ACS redirects to the root, ↔ it does not, ? not known',
      'g12 IOMMU group, coloured where it has several functions',
      ...(left > 0 ? [`and ${left} more devices`] : []),
    ].map((text, i) => `<text class="faint" x="${x}" y="${y + (types.length + i) * LINE}">${text}</text>`),
  ];
}
