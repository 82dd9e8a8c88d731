import type { Style } from '@dmabuf-emu/stress';
import type { Unknown } from '@dmabuf-emu/pci-iommu';
import type { MachineView } from '../machine-view.ts';
import { plural, printable, wrapped } from '../printable.ts';

const MARGIN = 10;
const MAX_NAMED = 3;

/**
 * What was read, for which setup, and what is not known.
 *
 * @param all - with every warning and unknown, not only counts
 * @param width - of the terminal
 */
export function summaryText(
  view: MachineView,
  setupText: string,
  all: boolean,
  width: number,
  style: Style,
): readonly string[] {
  const { description, source } = view.reading;
  const title = description.title === description.name ? '' : `  ${printable(description.title)}`;
  const row = (head: string, lines: readonly string[], paint = (text: string) => text): readonly string[] =>
    lines
      .flatMap((line) => wrapped(line, width - MARGIN, '  '))
      .map((line, i) => style.bold((i === 0 ? head : '').padEnd(MARGIN)) + paint(line));
  return [
    style.bold(`dmabuf-emu topo: ${printable(description.name)}`) + title,
    '',
    ...row('source', [`${printable(source.name)} (${source.format})`]),
    ...row('machine', [machineText(view)]),
    ...row('setup', [setupText]),
    ...row('unknown', unknownLines(view.reading.unknowns, all), style.warn),
    ...row('warnings', warningLines(view, all), style.warn),
  ];
}

function machineText({ topology, reading }: MachineView): string {
  const { vendor, family } = reading.description.cpu;
  const bridges = topology.functions.filter((fn) => fn.isBridge).length;
  const domains = new Set(topology.functions.map((fn) => fn.domain)).size;
  const nodes = new Set(topology.functions.flatMap((fn) => fn.description.numaNode ?? [])).size;
  return [
    plural(topology.functions.length, 'function'),
    plural(topology.hostBridges.length, 'host bridge'),
    plural(bridges, 'port'),
    ...(domains > 1 ? [plural(domains, 'domain')] : []),
    ...(nodes > 1 ? [plural(nodes, 'NUMA node')] : []),
    `CPU ${printable(vendor)}${family === null ? '' : ` family 0x${family.toString(16)}`}`,
  ].join(', ');
}

function unknownLines(unknowns: readonly Unknown[], all: boolean): readonly string[] {
  const kinds = [...new Set(unknowns.map(({ what }) => what))];
  return kinds.flatMap((what) => {
    const list = unknowns.filter((unknown) => unknown.what === what);
    if (all)
      return list.map(({ bdf, text }) => printable(bdf === null ? `${what}: ${text}` : `${what} of ${bdf}: ${text}`));
    const named = list.flatMap(({ bdf }) => bdf ?? []);
    if (named.length === 0) return list.map(({ text }) => printable(`${what}: ${text}`));
    const more = named.length > MAX_NAMED ? ', ...' : '';
    const of = `${what} of ${plural(named.length, 'function')} (${named.slice(0, MAX_NAMED).join(', ')}${more})`;
    const texts = new Set(list.map(({ text }) => text));
    return [texts.size === 1 ? printable(`${of}: ${[...texts][0]}`) : of];
  });
}

function warningLines({ reading: { warnings } }: MachineView, all: boolean): readonly string[] {
  const lines = warnings.map(({ line, text }) => printable(line === null ? text : `line ${line}: ${text}`));
  if (all || lines.length <= MAX_NAMED) return lines;
  return [...lines.slice(0, MAX_NAMED), `and ${lines.length - MAX_NAMED} more: -v shows them`];
}
