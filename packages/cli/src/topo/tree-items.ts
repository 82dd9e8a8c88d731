import type { Topology, TopologyFunction } from '@dmabuf-emu/pci-iommu';
import { plural } from './printable.ts';

/** A line of a tree: a function with what is behind it, or a run of functions that nobody asks about. */
export type TreeItem =
  | { readonly kind: 'function'; readonly fn: TopologyFunction; readonly children: readonly TreeItem[] }
  | {
      readonly kind: 'folded';
      readonly first: TopologyFunction;
      readonly last: TopologyFunction;
      readonly text: string;
    };

/**
 * The functions of a bus and, below each, those behind it.
 *
 * @param wanted - functions that always have a line of their own, as have all bridges that lead to one
 * @param minRun - shorter runs of others are not folded; Infinity folds nothing
 */
export function foldedChildren(
  topology: Topology,
  functions: readonly TopologyFunction[],
  wanted: ReadonlyMap<TopologyFunction, string>,
  minRun: number,
): readonly TreeItem[] {
  const shown = new Set<TopologyFunction>();
  for (const fn of wanted.keys()) {
    for (const step of topology.pathToRoot(fn)) shown.add(step);
    if (fn.physfn !== null) shown.add(fn.physfn);
  }
  const build = (fns: readonly TopologyFunction[]): readonly TreeItem[] => {
    const items: TreeItem[] = [];
    let run: TopologyFunction[] = [];
    const flush = (): void => {
      if (run.length > 0 && run.length >= minRun) items.push(folded(topology, run));
      else items.push(...run.map((fn) => own(fn)));
      run = [];
    };
    for (const fn of fns) {
      if (shown.has(fn)) {
        flush();
        items.push(own(fn));
      } else {
        run.push(fn);
      }
    }
    flush();
    return items;
  };
  const own = (fn: TopologyFunction): TreeItem => ({ kind: 'function', fn, children: build(below(topology, fn)) });
  return build(functions);
}

/** What hangs behind a function: its bus, and virtual functions on buses that no bridge owns. */
function below(topology: Topology, fn: TopologyFunction): readonly TopologyFunction[] {
  const far = topology.virtualFunctions(fn).filter((vf) => vf.bus !== fn.bus);
  return [...topology.children(fn), ...far];
}

function folded(topology: Topology, run: readonly TopologyFunction[]): TreeItem {
  const behind = run.reduce((sum, fn) => sum + countBelow(topology, fn), 0);
  const ports = run.filter((fn) => fn.isBridge).length;
  const counts = [
    ...(run.length > ports ? [plural(run.length - ports, 'function')] : []),
    ...(ports > 0 ? [plural(ports, 'port')] : []),
    ...(behind > 0 ? [`${behind} behind`] : []),
  ];
  return {
    kind: 'folded',
    first: run[0]!,
    last: run.at(-1)!,
    text: counts.join(', '),
  };
}

function countBelow(topology: Topology, fn: TopologyFunction): number {
  return below(topology, fn).reduce((sum, child) => sum + 1 + countBelow(topology, child), 0);
}
