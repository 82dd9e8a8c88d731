import { AerBit, AtomicCap, AtomicControl, EXP_DEVCAP2, EXP_DEVCTL2 } from '../config-space/index.ts';
import type { TopologyFunction } from '../topology/index.ts';
import type { DmaBus } from './dma-bus.ts';

/** Who does not let an AtomicOp through, and how that shows. */
export interface AtomicRefusal {
  readonly by: TopologyFunction;
  readonly aer: number;
  readonly reason: string;
}

/** Whether a function may request AtomicOps. @kernel pci_enable_atomic_ops_to_root */
export function mayRequestAtomics(bus: DmaBus, fn: TopologyFunction): boolean {
  return (bus.expressRegister(fn, EXP_DEVCTL2) & AtomicControl.REQUESTER) !== 0;
}

/**
 * Follows an AtomicOp to the function whose BAR is its target, or to RAM (`null`): ports that it leaves may block it, ports
 * that pass it on must be able to, and who answers must do it in this size.
 */
export function atomicRefusal(
  bus: DmaBus,
  requester: TopologyFunction,
  target: TopologyFunction | null,
  bytes: 4 | 8,
): AtomicRefusal | null {
  const up = bus.topology.pathToRoot(requester).slice(1);
  const down = target === null ? [] : bus.topology.pathToRoot(target).slice(1);
  const common = new Set(up.filter((bridge) => down.includes(bridge)));
  const leaves = [
    ...up.filter((bridge) => !common.has(bridge) && bridge.kind === 'upstream-port'),
    ...down.filter((bridge) => !common.has(bridge) && bridge.kind !== 'upstream-port'),
  ];
  const blocks = leaves.find((port) => (bus.expressRegister(port, EXP_DEVCTL2) & AtomicControl.EGRESS_BLOCK) !== 0);
  if (blocks !== undefined)
    return { by: blocks, aer: AerBit.ATOMIC_EGRESS_BLOCKED, reason: 'AtomicOp blocked at the egress' };
  const can = (fn: TopologyFunction, bit: number): boolean => (bus.expressRegister(fn, EXP_DEVCAP2) & bit) !== 0;
  const unable = leaves.find((port) => !can(port, AtomicCap.ROUTE));
  if (unable !== undefined)
    return { by: unable, aer: AerBit.UNSUPPORTED_REQUEST, reason: 'port passes no AtomicOps on' };
  const completer = target ?? up.at(-1);
  if (completer === undefined || can(completer, bytes === 4 ? AtomicCap.COMPLETER_32 : AtomicCap.COMPLETER_64))
    return null;
  return { by: completer, aer: AerBit.UNSUPPORTED_REQUEST, reason: `no AtomicOps of ${bytes} bytes at the target` };
}
