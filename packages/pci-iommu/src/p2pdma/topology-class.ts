import type { Topology, TopologyFunction } from '../topology/index.ts';

/**
 * How near two functions are, in the words of `nvidia-smi topo -m`: one bridge or switch between them (`PIX`), several
 * (`PXB`), their host bridge (`PHB`), host bridges of one NUMA node (`NODE`), or of two (`SYS`). `X` is the function itself;
 * `unknown` when nodes of the host bridges are not told.
 */
export type TopologyClass = 'X' | 'PIX' | 'PXB' | 'PHB' | 'NODE' | 'SYS' | 'unknown';

/** Hops between two functions below one switch: up to its port, into it, out of it, down. */
const ONE_SWITCH = 4;

/** How near two functions are, in the words of `nvidia-smi topo -m`. */
export function topologyClass(topology: Topology, a: TopologyFunction, b: TopologyFunction): TopologyClass {
  if (a === b) return 'X';
  const common = topology.commonBridge(a, b);
  if (common !== null) {
    const hops = [a, b].reduce((sum, fn) => sum + topology.pathToRoot(fn).indexOf(common), 0);
    return hops <= ONE_SWITCH ? 'PIX' : 'PXB';
  }
  if (a.hostBridge.assumed || b.hostBridge.assumed) return 'unknown';
  if (a.hostBridge === b.hostBridge) return 'PHB';
  const [one, other] = [numaNodeOf(topology, a), numaNodeOf(topology, b)];
  if (one === null || other === null) return 'unknown';
  return one === other ? 'NODE' : 'SYS';
}

/**
 * The NUMA node of a function: its own, that of a bridge above it, or that of another function below the same host bridge,
 * which is what has a node; `null` when none of them tells one.
 */
export function numaNodeOf(topology: Topology, fn: TopologyFunction): number | null {
  const told = [
    ...topology.pathToRoot(fn),
    ...topology.functions.filter(({ hostBridge }) => hostBridge === fn.hostBridge),
  ];
  return told.find(({ description }) => description.numaNode !== undefined)?.description.numaNode ?? null;
}
