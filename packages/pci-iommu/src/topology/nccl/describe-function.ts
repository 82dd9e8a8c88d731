import type { FunctionDescription } from '../description/machine-description.ts';
import type { PlannedFunction } from './plan-subtree.ts';

const PCI_BRIDGE_CLASS = 0x06_0400;

/** All that a topology file tells of a function. */
export function describeFunction(fn: PlannedFunction): FunctionDescription {
  const { bdf, kind, node, buses } = fn;
  const name = node === null ? 'implied' : isRenamed(fn) ? node.bdf : node.name;
  return {
    bdf,
    vendor: node?.vendor ?? null,
    device: node?.device ?? null,
    class: node === null ? PCI_BRIDGE_CLASS : node.class,
    ...(name === null ? {} : { name }),
    kind,
    ...buses,
    bars: [],
    acs: 'unknown',
    flr: false,
    pm: false,
    ...(node === null || node.numaNode === null ? {} : { numaNode: node.numaNode }),
  };
}

/** Whether a function has another name than in the file. */
export function isRenamed({ bdf, node }: PlannedFunction): boolean {
  return node !== null && node.bdf !== bdf;
}
