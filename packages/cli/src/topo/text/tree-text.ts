import type { Style } from '@dmabuf-emu/stress';
import type { HostBridge, Topology, TopologyFunction } from '@dmabuf-emu/pci-iommu';
import { type Cell, columns } from '../../terminal/columns.ts';
import type { ChosenDevice } from '../choose-devices.ts';
import { acsText, barText, kindWord } from '../function-facts.ts';
import type { MachineView } from '../machine-view.ts';
import { shortened } from '../printable.ts';
import { foldedChildren, type TreeItem } from '../tree-items.ts';

interface TreeContext {
  readonly view: MachineView;
  readonly labels: ReadonlyMap<TopologyFunction, string>;
  /** Room for what a function is. */
  readonly nameWidth: number;
  readonly style: Style;
  readonly rows: Cell[][];
}

/** Shorter runs are not worth a fold. */
const MIN_FOLDED = 3;
const MIN_NAME = 40;
/** Room for tree, BARs, ACS and group beside the names. */
const OTHER_COLUMNS = 68;

/**
 * The tree as lines: one for each host bridge, port and device, with sizes of BARs, ACS and group. Runs of functions that
 * nobody asks about are one line.
 *
 * @param all - with every function on a line of its own, and whole names
 * @param width - of the terminal
 */
export function treeText(
  view: MachineView,
  devices: readonly ChosenDevice[],
  all: boolean,
  width: number,
  style: Style,
): readonly string[] {
  const labels = new Map(devices.map(({ fn, label }) => [fn, label]));
  const nameWidth = all ? Infinity : Math.max(MIN_NAME, width - OTHER_COLUMNS);
  const context: TreeContext = { view, labels, nameWidth, style, rows: [] };
  const minRun = all ? Infinity : MIN_FOLDED;
  const nodes = numaNodes(view.topology);
  for (const bridge of view.topology.hostBridges) {
    const items = foldedChildren(view.topology, view.topology.rootBusFunctions(bridge), labels, minRun);
    const only = items.length === 1 && items[0]!.kind === 'folded' ? `, ${items[0]!.text}` : '';
    const text = hostText(nodes.get(bridge) ?? []) + only;
    context.rows.push([{ text: `[${bridge.name}]`, paint: style.bold }, { text }]);
    if (only === '') addItems(context, '', items);
  }
  return columns(context.rows, 'lllll');
}

/** NUMA nodes that functions below each host bridge are near. */
function numaNodes({ functions }: Topology): ReadonlyMap<HostBridge, readonly number[]> {
  const nodes = new Map<HostBridge, Set<number>>();
  for (const { hostBridge, description } of functions) {
    const { numaNode } = description;
    if (numaNode !== undefined) nodes.set(hostBridge, (nodes.get(hostBridge) ?? new Set()).add(numaNode));
  }
  return new Map([...nodes].map(([bridge, near]) => [bridge, [...near].toSorted((a, b) => a - b)]));
}

function hostText(nodes: readonly number[]): string {
  return nodes.length === 0 ? 'host bridge' : `host bridge, NUMA ${nodes.join('+')}`;
}

function addItems(context: TreeContext, indent: string, items: readonly TreeItem[]): void {
  items.forEach((item, i) => {
    const last = i === items.length - 1;
    const stem = indent + (last ? '└─ ' : '├─ ');
    if (item.kind === 'folded') {
      const text = `${context.view.names.short(item.first)} .. ${context.view.names.short(item.last)}`;
      context.rows.push([
        { text: stem + text, paint: context.style.dim },
        { text: item.text, paint: context.style.dim },
      ]);
      return;
    }
    context.rows.push(functionRow(context, stem, item.fn));
    addItems(context, indent + (last ? '   ' : '│  '), item.children);
  });
}

function functionRow({ view, labels, nameWidth, style }: TreeContext, stem: string, fn: TopologyFunction): Cell[] {
  const label = labels.get(fn);
  const name = view.names.of(fn);
  const mark = view.acsMark(fn);
  const group = view.groupOf(fn);
  const what = fn.isBridge ? `${kindWord(fn.kind)}, ${name}` : label === undefined ? name : `${label}  ${name}`;
  const paint = mark === 'redirects' || mark === 'unknown' ? style.warn : style.dim;
  return [
    { text: stem + view.names.short(fn) },
    { text: shortened(what, nameWidth), ...(label === undefined ? { paint: style.dim } : { paint: style.bold }) },
    { text: barText(fn) },
    { text: acsText(fn, mark), paint },
    { text: group === null ? '' : `group ${group.id}`, paint: style.dim },
  ];
}
