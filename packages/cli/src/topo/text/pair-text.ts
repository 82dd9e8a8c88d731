import { topologyClass } from '@dmabuf-emu/pci-iommu';
import type { Style } from '@dmabuf-emu/stress';
import { columns } from '../../terminal/columns.ts';
import type { MachineView, P2pPair, P2pTable } from '../machine-view.ts';
import { printable, wrapped } from '../printable.ts';
import { waySteps } from '../way-steps.ts';
import { MEANING } from './cell-text.ts';
import { paintOf } from './matrix-text.ts';

const INDENT = '  ';

/**
 * Why one function reaches the memory of another, or not: the way step by step, what decides, what would change it. The
 * other direction too where its answer is another.
 */
export function pairText(view: MachineView, table: P2pTable, width: number, style: Style): readonly string[] {
  const [there, back] = table.pairs();
  if (there === undefined) return [];
  const lines = onePair(view, there, width, style);
  if (back === undefined) return lines;
  if (back.answer.type !== there.answer.type) return [...lines, '', '', ...onePair(view, back, width, style)];
  return [...lines, '', `${INDENT}the other way round: ${back.answer.type} too`];
}

function onePair(view: MachineView, { from, to, answer }: P2pPair, width: number, style: Style): readonly string[] {
  const rows = waySteps(view, answer).map(({ role, name, kind, acs, note }) => [
    { text: role },
    { text: name, paint: style.bold },
    { text: kind },
    { text: acs, paint: note === '' ? style.dim : style.warn },
    { text: note === '' ? '' : `<- ${note}`, paint: style.warn },
  ]);
  const near = `${topologyClass(view.topology, from.fn, to.fn)} in the words of nvidia-smi topo`;
  const because = wrapped(printable(`because ${answer.because}`), width - INDENT.length, INDENT);
  return [
    style.bold(`${to.label} ${to.fn.bdf} reaches the memory of ${from.label} ${from.fn.bdf}`),
    '',
    `${INDENT}${paintOf(answer, style)(answer.type)}: ${MEANING[answer.type]}, ${hops(answer.distance)}, ${near}`,
    ...because.map((line) => INDENT + line),
    '',
    ...columns(rows, 'lllll').map((line) => INDENT + line),
    ...section('rests on', answer.restsOn),
    ...section('would change it', answer.remedies),
  ];
}

function section(title: string, texts: readonly string[]): readonly string[] {
  return texts.length === 0 ? [] : ['', INDENT + title, ...texts.map((text) => INDENT.repeat(2) + printable(text))];
}

function hops(count: number): string {
  return `${count} hop${count === 1 ? '' : 's'}`;
}
