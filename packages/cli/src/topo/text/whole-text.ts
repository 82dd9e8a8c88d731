import type { Style } from '@dmabuf-emu/stress';
import type { GroupComparison } from '../group-comparison.ts';
import type { MachineView, P2pTable } from '../machine-view.ts';
import { comparisonText, groupsText } from './groups-text.ts';
import { matrixText } from './matrix-text.ts';
import { pairText } from './pair-text.ts';
import { summaryText } from './summary-text.ts';
import { treeText } from './tree-text.ts';

/** What a text shows. */
export interface TextContent {
  readonly view: MachineView;
  readonly setupText: string;
  readonly table: P2pTable;
  /** One pair was asked about, the first device and the last: why, instead of the whole machine. */
  readonly pair: boolean;
  /** A comparison with a listing, instead of the whole machine. */
  readonly comparison?: { readonly source: string; readonly result: GroupComparison };
  /** Every function, group, warning and unknown on a line of its own. */
  readonly all: boolean;
  readonly width: number;
  readonly style: Style;
}

/** A machine as text for people. */
export function wholeText(content: TextContent): string {
  const { view, setupText, all, width, style } = content;
  const sections = [summaryText(view, setupText, all, width, style), ...parts(content)];
  return `${sections.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

function parts({ view, table, pair, comparison, all, width, style }: TextContent): readonly (readonly string[])[] {
  const { devices } = table;
  const titled = (title: string, lines: readonly string[]): readonly string[] => [style.bold(title), ...lines];
  const compared = comparison === undefined ? [] : [comparisonText(comparison.result, comparison.source, width, style)];
  if (pair) return [pairText(view, table, width, style), ...compared];
  if (comparison !== undefined) return compared;
  return [
    titled('tree', treeText(view, devices, all, width, style)),
    titled('peer-to-peer', devices.length === 0 ? [NO_DEVICES] : matrixText(view, table, all, width, style)),
    titled('IOMMU groups', groupsText(view, devices, all, width, style)),
  ];
}

const NO_DEVICES = 'no GPU, network adapter, NVMe disk or accelerator found: name functions with --devices';
