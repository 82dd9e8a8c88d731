import type { Topology, TopologyFunction } from '../topology/index.ts';

/**
 * All functions in the order in which the kernel meets them: a bus whole, then what is behind its bridges; virtual functions
 * last, when their drivers make them.
 *
 * @kernel pci_scan_child_bus
 */
export function scanOrder(topology: Topology): readonly TopologyFunction[] {
  const order: TopologyFunction[] = [];
  const scan = (functions: readonly TopologyFunction[]): void => {
    const real = functions.filter((fn) => !fn.isVirtualFunction);
    order.push(...real);
    for (const fn of real) scan(topology.children(fn));
  };
  for (const hostBridge of topology.hostBridges) scan(topology.rootBusFunctions(hostBridge));
  return [...order, ...topology.functions.filter((fn) => fn.isVirtualFunction)];
}
